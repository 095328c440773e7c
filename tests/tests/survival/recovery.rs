//! What the next run, `gatling status` and the next boot do after a run that was killed while it changed what serves.

use std::fs;
use std::time::Duration;

use gatling_tests::{Output, Running, Sandbox, processes, waiting};
use rustix::process::{Signal, kill_process};

use super::{answer, current, push_endless, wait_for_version};

/// hello 0.1.0 serves, and 0.2.0 is being switched to: it answers, and is still being watched.
fn switching(sandbox: &Sandbox) -> Running {
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.replace("gatling.toml", "watch = \"0s\"", "watch = \"3s\"").unwrap();
    hello.commit("0.2.0").unwrap();
    let push = hello.start_push(&["main"]).unwrap();
    wait_for_version(sandbox, "0.2.0");
    push
}

/// Kills everything that runs for the sandbox, as a power failure does, except nginx.
fn pull_the_plug(sandbox: &Sandbox, push: Running) {
    let of_home = || processes::of(&sandbox.home());
    waiting::wait_for("everything to be dead", || {
        for pid in of_home() {
            _ = kill_process(pid, Signal::KILL);
        }
        of_home().is_empty().then_some(())
    })
    .unwrap();
    push.end().unwrap();
}

/// Runs the init script with the environment that it has at boot.
fn script(sandbox: &Sandbox, args: &[&str]) -> Output {
    let mut command = sandbox.command(sandbox.etc().join("hello"), "/".as_ref());
    Output::of(command.args(args)).unwrap()
}

#[test]
fn after_a_power_failure_during_the_switch_the_server_boots_with_the_release_that_was_proven() {
    let sandbox = Sandbox::new().unwrap();
    let push = switching(&sandbox);

    pull_the_plug(&sandbox, push);

    assert_eq!(current(&sandbox), "0.1.0");
    let boot = script(&sandbox, &["start"]);
    assert!(boot.status.success(), "{boot:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));
    let status = sandbox.run(&["status", "hello"]).unwrap();
    assert!(
        status.says("hello 0.1.0 is serving.") && status.says("which does not serve: gatling upgrade hello"),
        "{status:?}"
    );
    let upgrade = sandbox.run(&["upgrade", "hello"]).unwrap();
    assert!(upgrade.status.success(), "{upgrade:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.2.0"));
}

#[test]
fn status_undoes_a_switch_whose_run_and_app_were_killed() {
    let sandbox = Sandbox::new().unwrap();
    let push = switching(&sandbox);
    pull_the_plug(&sandbox, push);

    let status = sandbox.run(&["status", "hello"]).unwrap();

    assert!(status.says("was killed while it changed the release to 0.2.0: undoing this"), "{status:?}");
    assert!(status.says("hello 0.1.0 is serving."), "{status:?}");
    assert_eq!((sandbox.get("/").unwrap(), current(&sandbox)), (answer("0.1.0"), "0.1.0".to_owned()));
    let again = sandbox.run(&["status", "hello"]).unwrap();
    assert!(!again.says("undoing"), "{again:?}");
}

#[test]
fn the_init_script_completes_a_switch_whose_run_was_killed_and_status_waits_for_it() {
    let sandbox = Sandbox::new().unwrap();
    let push = switching(&sandbox);
    kill_process(sandbox.worker().expect("a run is in progress"), Signal::KILL).unwrap();
    push.end().unwrap();

    let status = sandbox.run(&["status", "hello"]).unwrap();

    assert!(status.says("was killed while it switched to 0.2.0: 0.2.0 serves"), "{status:?}");
    assert_eq!((sandbox.get("/").unwrap(), current(&sandbox)), (answer("0.2.0"), "0.2.0".to_owned()));
}

#[test]
fn a_push_back_to_the_old_commit_during_a_switch_deploys_it() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let first = hello.head().unwrap();
    hello.set_version("0.2.0").unwrap();
    // So that its run is still in progress when it is killed.
    hello.replace("gatling.toml", "soak = \"0s\"", "soak = \"6s\"").unwrap();
    hello.commit("0.2.0").unwrap();
    let second = hello.start_push(&["main"]).unwrap();
    wait_for_version(&sandbox, "0.2.0");
    hello.git(&["reset", "--quiet", "--hard", &first]).unwrap();
    let back = hello.start_push(&["+main"]).unwrap();
    back.wait_for("gatling: waiting for upgrade of hello").unwrap();

    kill_process(sandbox.worker().expect("a run is in progress"), Signal::KILL).unwrap();

    second.end().unwrap();
    let output = back.end().unwrap();
    assert!(output.says("is serving at") && !output.says("nothing to do: main"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));
}

#[test]
fn a_first_deployment_that_was_killed_before_its_app_was_proven_boots_with_nothing() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let push = push_endless(&sandbox, &hello, "deploy", "before-start-service");

    pull_the_plug(&sandbox, push);

    assert!(!sandbox.home().join("deployments/hello/current").exists());
    assert!(!script(&sandbox, &["start"]).status.success());
    hello.remove("deploy.wasm").unwrap();
    hello.commit("Without it").unwrap();
    hello.deploy().unwrap();
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));
}

#[test]
fn a_site_that_was_killed_in_the_middle_is_restored_by_the_next_run() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let site = sandbox.nginx_dir().join("sites-available/hello");
    let proven = fs::read_to_string(&site).unwrap();
    let journal = sandbox.run_folders("hello").pop().unwrap().join("journal.jsonl");
    let text = fs::read_to_string(&journal).unwrap();
    let before_change =
        text.lines().position(|line| line.contains("\"changed\"") && line.contains("\"site\"")).unwrap();
    // The run has put the site in its place, and was killed before it was tested.
    let torn: String = text.lines().take(before_change).map(|line| format!("{line}\n")).collect();
    fs::write(&journal, torn).unwrap();
    fs::write(&site, "server { not a site").unwrap();
    fs::write(sandbox.home().join("deployments/hello/nginx-site.old"), &proven).unwrap();

    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    let output = hello.deploy().unwrap();

    assert!(output.says("was killed while it changed the site"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.2.0"));
}

#[test]
fn a_reboot_that_damaged_nothing_costs_no_build() {
    let mut sandbox = Sandbox::new().unwrap();
    sandbox.load("hello").unwrap().deploy().unwrap();
    let journal = sandbox.run_folders("hello").pop().unwrap().join("journal.jsonl");
    waiting::wait_for("the files to be on the disk", || {
        fs::read_to_string(&journal).unwrap().contains("\"synced\"").then_some(())
    })
    .unwrap();
    assert!(sandbox.run(&["restart", "hello"]).unwrap().status.success());
    sandbox.add_variables([("GATLING_BOOT".into(), "another".into())]);

    let hello = sandbox.existing("hello");
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    let output = hello.deploy().unwrap();

    assert!(!output.says("the server went down"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.2.0"));
}

#[test]
fn after_a_power_failure_during_a_build_everything_is_compiled_again() {
    let mut sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let gate = hello.add_gate().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    let push = hello.start_push(&["main"]).unwrap();
    gate.wait().unwrap();
    gate.open().unwrap();
    pull_the_plug(&sandbox, push);
    // What the disk has of a file that was written but not synced.
    let beam = sandbox.home().join("hello/_build/prod/lib/hello/ebin/Elixir.Hello.beam");
    fs::write(&beam, "").unwrap();
    fs::write(sandbox.home().join("hello/lib/hello.ex"), "").unwrap();
    sandbox.add_variables([("GATLING_BOOT".into(), "another".into())]);
    assert!(script(&sandbox, &["start"]).status.success());

    let upgrade = sandbox.run(&["upgrade", "hello"]).unwrap();

    assert!(upgrade.says("the server went down during the last build"), "{upgrade:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.2.0"));
}

#[test]
fn a_pid_file_that_is_empty_or_missing_does_no_harm() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let pid_file = sandbox.home().join("deployments/hello/run/hello.pid");
    fs::write(&pid_file, "").unwrap();
    assert!(sandbox.run(&["status", "hello"]).unwrap().says("hello 0.1.0 is serving."));
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    hello.deploy().unwrap();
    assert_eq!(sandbox.get("/").unwrap(), answer("0.2.0"));

    fs::remove_file(&pid_file).unwrap();
    assert!(script(&sandbox, &["status"]).says("runs, pid"));
    assert!(script(&sandbox, &["stop"]).status.success());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(sandbox.get("/").unwrap().0, 502, "stop has ended the app");
}
