//! Runs whose pushing process or worker is killed.

use std::fs;
use std::path::PathBuf;

use gatling_tests::component::endless;
use gatling_tests::{Project, Running, Sandbox, processes, waiting};
use rustix::process::{Signal, kill_process};

use super::wait_for_version;

/// Kills the worker, and waits until all processes of its run have ended.
fn kill_worker(sandbox: &Sandbox, push: Running) {
    let worker = sandbox.worker().expect("a run is in progress");
    kill_process(worker, Signal::KILL).unwrap();
    push.end().unwrap();
    let build_dir = sandbox.home().join("hello");
    let is_idle = || processes::of(&build_dir).is_empty().then_some(());
    waiting::wait_for("an idle build dir", is_idle).unwrap();
}

/// The patches with the changes of killed runs.
fn leftovers(sandbox: &Sandbox) -> Vec<PathBuf> {
    let folders = sandbox.run_folders("hello").into_iter();
    folders.map(|folder| folder.join("leftovers.patch")).filter(|file| file.is_file()).collect()
}

#[test]
fn a_run_continues_when_the_pushing_process_is_killed() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let (push, gate) = hello.push_to_gate().unwrap();

    push.kill().unwrap();
    gate.open().unwrap();

    assert_eq!(sandbox.wait_for_end_of_run("hello").unwrap()["outcome"], "succeeded");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn after_a_killed_worker_the_old_version_serves_and_the_next_push_restores_its_files() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    hello.set_version("0.2.0").unwrap();
    let (push, gate) = hello.push_to_gate().unwrap();
    fs::write(sandbox.home().join("hello/assets/robots.txt"), "half of it").unwrap();

    kill_worker(&sandbox, push);

    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));

    gate.open().unwrap();
    hello.set_version("0.3.0").unwrap();
    hello.commit("0.3.0").unwrap();
    let output = hello.deploy().unwrap();

    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.3.0\n".to_owned()));
    assert_eq!(sandbox.get("/assets/robots.txt").unwrap().1, hello.read("assets/robots.txt").unwrap());
    let patches = leftovers(&sandbox);
    let [patch] = patches.as_slice() else { panic!("{patches:?}") };
    assert!(fs::read_to_string(patch).unwrap().contains("+half of it"));
    let named = format!(
        "left changed files: assets/robots.txt. They were restored; the changes are saved in {}",
        patch.display()
    );
    assert!(output.says(&named), "{output:?}");
    let runs = sandbox.runs("hello").unwrap();
    let outcomes: Vec<_> = runs.iter().map(|run| run["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["succeeded", "killed", "succeeded"]);
}

#[test]
fn the_output_of_a_push_reports_that_the_worker_was_killed() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let (push, _gate) = hello.push_to_gate().unwrap();

    kill_process(sandbox.worker().expect("a run is in progress"), Signal::KILL).unwrap();

    let output = push.end().unwrap();
    assert!(output.says("killed") || output.says("signal 9"), "{output:?}");
}

#[test]
fn the_files_of_a_killed_run_are_restored_even_if_another_command_failed_in_between() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let (push, gate) = hello.push_to_gate().unwrap();
    fs::write(sandbox.home().join("hello/assets/robots.txt"), "half of it").unwrap();
    kill_worker(&sandbox, push);

    let upgrade = sandbox.run(&["upgrade", "hello"]).unwrap();
    assert_eq!(upgrade.status.code(), Some(1));
    assert!(upgrade.says("hello is not deployed yet"), "{upgrade:?}");

    gate.open().unwrap();
    hello.commit("Another try").unwrap();
    hello.deploy().unwrap();

    assert_eq!(sandbox.get("/assets/robots.txt").unwrap().1, hello.read("assets/robots.txt").unwrap());
    assert_eq!(leftovers(&sandbox).len(), 1);
}

#[test]
fn the_next_push_completes_an_interrupted_first_checkout() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    push_and_kill_during_checkout(&sandbox, &hello);
    assert!(sandbox.home().join("hello/domains").exists(), "some files were checked out");

    hello.commit("Another try").unwrap();
    hello.deploy().unwrap();

    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn the_next_push_completes_an_interrupted_checkout_of_changed_files() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    hello.replace("lib/hello/router.ex", "hello #{", "good morning #{").unwrap();
    hello.write("assets/new.css", "body {}\n").unwrap();
    hello.commit("A changed file, and a new one").unwrap();
    push_and_kill_during_checkout(&sandbox, &hello);
    assert!(sandbox.home().join("hello/assets/new.css").exists(), "some files were checked out");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));

    hello.set_version("0.2.0").unwrap();
    hello.commit("Another try").unwrap();
    hello.deploy().unwrap();

    assert_eq!(sandbox.get("/").unwrap(), (200, "good morning 0.2.0\n".to_owned()));
}

/// Pushes a commit with a new or changed `lib/hello/router.ex`, and kills the worker before it checks out that file.
fn push_and_kill_during_checkout(sandbox: &Sandbox, hello: &Project<'_>) {
    let repository = sandbox.home().join("hello");
    let (reached, open) = (sandbox.root().join("reached"), sandbox.root().join("open"));
    // git calls the filter only for that file, after it has checked out those before it.
    let filter = format!("touch {}; until [ -e {} ]; do sleep 0.02; done; cat", reached.display(), open.display());
    sandbox.git(&repository, &["config", "filter.wait.smudge", &filter]).unwrap();
    fs::create_dir_all(repository.join(".git/info")).unwrap();
    fs::write(repository.join(".git/info/attributes"), "lib/hello/router.ex filter=wait\n").unwrap();
    let push = hello.start_push(&["main"]).unwrap();
    waiting::wait_for("git to reach router.ex", || reached.exists().then_some(())).unwrap();

    kill_process(sandbox.worker().expect("a run is in progress"), Signal::KILL).unwrap();
    push.end().unwrap();
    fs::write(&open, "").unwrap();
}

#[test]
fn a_first_deployment_that_was_killed_after_it_started_the_app_is_repeated() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    fs::write(hello.dir().join("deploy.wasm"), endless("after-configure-nginx")).unwrap();
    hello.commit("A hook that never returns").unwrap();
    let push = hello.start_push(&["main"]).unwrap();
    wait_for_version(&sandbox, "0.1.0");

    kill_worker(&sandbox, push);

    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    hello.remove("deploy.wasm").unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    assert!(hello.deploy().unwrap().says("  deploy"));
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
}

#[test]
fn a_push_that_waited_for_a_killed_run_deploys_its_commit_unless_that_commit_really_serves() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let first = hello.head().unwrap();
    hello.set_version("0.2.0").unwrap();
    fs::write(hello.dir().join("upgrade.wasm"), endless("after-upgrade-service")).unwrap();
    hello.commit("0.2.0").unwrap();
    let second = hello.start_push(&["main"]).unwrap();
    second.wait_for("after_upgrade_service").unwrap();
    wait_for_version(&sandbox, "0.2.0");
    hello.git(&["reset", "--quiet", "--hard", &first]).unwrap();
    let back = hello.start_push(&["+main"]).unwrap();
    back.wait_for("gatling: waiting for upgrade of hello").unwrap();

    kill_worker(&sandbox, second);

    let output = back.end().unwrap();
    assert!(output.says("is serving at") && !output.says("nothing to do: main"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}
