//! Pushes: what they deploy, and concurrent pushes.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use gatling_tests::{Output, Sandbox, places, waiting};
use serde_json::Value;

/// The commits that runs deployed, in the order in which the runs ended.
fn deployed_commits(sandbox: &Sandbox) -> Vec<String> {
    let mut runs = sandbox.runs("hello").unwrap();
    runs.sort_by_key(|run| run["finished_at"].as_str().unwrap().to_owned());
    let is_fine =
        |run: &Value| ["succeeded", "unchanged", "superseded"].iter().any(|outcome| run["outcome"] == *outcome);
    assert!(runs.iter().all(is_fine), "{runs:#?}");
    let commits = runs.iter().filter_map(|run| run["commit"].as_str());
    commits.filter(|commit| !commit.is_empty()).map(str::to_owned).collect()
}

fn assert_ignored(output: &Output, name: &str) {
    let line = format!("gatling: {name} is not the deploy branch of hello (main), so nothing is deployed");
    assert!(output.says(&line), "{output:?}");
}

#[test]
fn other_branches_tags_and_deletions_are_reported_and_not_deployed() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.git(&["tag", "v1"]).unwrap();
    hello.git(&["tag", "--annotate", "v2", "--message", "two"]).unwrap();

    for (pushed, name) in [
        ("main:refs/heads/other", "refs/heads/other"),
        ("main:refs/heads/deeper/main", "refs/heads/deeper/main"),
        ("v1", "refs/tags/v1"),
        (":other", "refs/heads/other"),
    ] {
        assert_ignored(&hello.push_refs(&[pushed]).unwrap().expect_success().unwrap(), name);
    }
    assert_eq!(sandbox.runs("hello").unwrap(), [] as [Value; 0]);
    assert!(!sandbox.home().join("hello/mix.exs").exists());

    let output = hello.push_refs(&["v2", "main", "main:again"]).unwrap().expect_success().unwrap();

    assert_ignored(&output, "refs/tags/v2");
    assert_ignored(&output, "refs/heads/again");
    assert_eq!(deployed_commits(&sandbox), [hello.head().unwrap()]);
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn deleting_the_deploy_branch_changes_nothing_and_pushing_it_again_upgrades() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    // By default, the repository refuses that.
    sandbox.git(&sandbox.home().join("hello"), &["config", "receive.denyDeleteCurrent", "ignore"]).unwrap();

    let output = hello.push_refs(&[":main"]).unwrap().expect_success().unwrap();

    assert!(output.says("the deploy branch main was deleted: the deployed release does not change"), "{output:?}");
    assert_eq!(sandbox.runs("hello").unwrap().len(), 1);
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));

    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    hello.deploy().unwrap();
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
}

#[test]
fn a_project_deploys_the_branch_that_it_was_loaded_with() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    sandbox.run(&["load", "hello", "--branch", "release/stable"]).unwrap().expect_success().unwrap();

    let output = hello.push().unwrap();

    let ignored = "refs/heads/main is not the deploy branch of hello (release/stable)";
    assert!(output.says(ignored), "{output:?}");
    assert_eq!(sandbox.runs("hello").unwrap(), [] as [Value; 0]);

    let output = hello.push_refs(&["main:release/stable"]).unwrap().expect_success().unwrap();

    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    assert!(output.says("gatling: hello 0.1.0  release/stable"), "{output:?}");
}

#[test]
fn a_push_of_the_same_version_deploys_its_changed_code() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    assert_eq!(sandbox.get("/assets/robots.txt").unwrap().0, 200);

    let module = "defmodule Hello.Far.Down do\n  def text, do: \"from far down\\n\"\nend\n";
    hello.write("lib/hello/far/down/text.ex", module).unwrap();
    hello.replace("lib/hello/router.ex", "\"hello #{Hello.version()}\\n\"", "Hello.Far.Down.text()").unwrap();
    hello.remove("assets/robots.txt").unwrap();
    hello.commit("Other code, of the same version").unwrap();
    hello.deploy().unwrap();

    assert_eq!(sandbox.get("/").unwrap(), (200, "from far down\n".to_owned()));
    assert_eq!(sandbox.get("/assets/robots.txt").unwrap().0, 404);
    let deploy_dir = sandbox.home().join("deployments/hello");
    assert_eq!(fs::read_link(deploy_dir.join("current")).unwrap().to_str(), Some("releases/0.1.0+2"));
    assert!(deploy_dir.join("releases/0.1.0/hello").is_dir(), "the previous release is kept");
}

#[test]
fn a_release_that_has_served_is_never_written_again() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let releases = sandbox.home().join("deployments/hello/releases");
    fs::write(releases.join("0.1.0/hello/mark"), "as it served").unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    hello.deploy().unwrap();

    hello.set_version("0.1.0").unwrap();
    hello.commit("Back to 0.1.0").unwrap();
    hello.deploy().unwrap();

    let current = fs::read_link(releases.join("../current")).unwrap();
    assert_eq!(current.to_str(), Some("releases/0.1.0+2"));
    assert_eq!(fs::read_to_string(releases.join("0.1.0/hello/mark")).unwrap(), "as it served");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn gatling_called_for_its_own_project_from_a_mix_task_is_refused_at_once() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let mix_exs = hello.read("mix.exs").unwrap();
    let call = "IO.puts(elem(System.cmd(\"gatling\", [\"upgrade\", \"hello\"], stderr_to_stdout: true), 0))\n";
    hello.write("mix.exs", &format!("{call}{mix_exs}")).unwrap();
    hello.commit("A mix.exs that calls gatling").unwrap();

    let output = hello.deploy().unwrap();

    assert!(output.says("this command was started by a run of hello"), "{output:?}");
    assert_eq!(sandbox.run_folders("hello").len(), 1);
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn gatling_called_for_its_own_project_from_a_hook_is_refused_at_once() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    // The guest runs a program with this name.
    let bin = sandbox.root().join("bin");
    let program = bin.join("no-such-program");
    fs::create_dir(&bin).unwrap();
    let variables = sandbox.variables().map(|(name, value)| format!("export {name}='{}'\n", value.display())).concat();
    fs::write(&program, format!("#!/bin/sh\n{variables}exec gatling upgrade hello\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let operator = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(sandbox.config(), format!("path = [{bin:?}]\n{operator}")).unwrap();
    hello.copy_hooks(&places::guest("runner").unwrap(), "deploy.wasm").unwrap();
    hello.replace("gatling.toml", "run = [\"sh\"]", "run = [\"sh\", \"no-such-program\"]").unwrap();
    hello.commit("A hook that calls gatling").unwrap();

    let output = hello.deploy().unwrap();

    assert!(output.says("this command was started by a run of hello"), "{output:?}");
    assert_eq!(sandbox.run_folders("hello").len(), 1);
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn changed_code_is_compiled_even_within_the_second_of_the_previous_build() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.copy_hooks(&places::guest("trapping").unwrap(), "deploy.wasm").unwrap();
    hello.commit("A hook that ends the run when 0.1.0 is compiled").unwrap();
    hello.push().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.remove("deploy.wasm").unwrap();
    hello.commit("0.2.0").unwrap();

    // mix compares times in whole seconds: this is as if it had compiled at the beginning of this second.
    waiting::wait_for("a second to begin", || (now().subsec_millis() < 50).then_some(())).unwrap();
    for entry in fs::read_dir(sandbox.home().join("hello/_build/prod/lib/hello/.mix")).unwrap() {
        let second = SystemTime::UNIX_EPOCH + Duration::from_secs(now().as_secs());
        File::options().append(true).open(entry.unwrap().path()).unwrap().set_modified(second).unwrap();
    }
    hello.deploy().unwrap();

    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
}

/// The time since the Unix epoch.
fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap()
}

#[test]
fn files_that_a_build_changed_do_not_block_a_colleagues_push() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    // As mix does with mix.lock, for example.
    hello.write("built.txt", "by nobody\n").unwrap();
    hello
        .replace(
            "mix.exs",
            "[\"hello.digest\"]",
            "[fn _ -> File.write!(\"built.txt\", \"by mix\") end, \"hello.digest\"]",
        )
        .unwrap();
    hello.commit("A build that writes to a file that git tracks").unwrap();
    hello.deploy().unwrap();
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));

    let colleague = hello.clone_as("colleague").unwrap();
    colleague.set_version("0.2.0").unwrap();
    colleague.write("built.txt", "by a colleague\n").unwrap();
    colleague.commit("0.2.0").unwrap();
    colleague.deploy().unwrap();

    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
}

#[test]
fn pushes_wait_for_the_current_run_and_then_only_the_newest_commit_is_deployed() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let (first, gate) = hello.push_to_gate().unwrap();
    let colleague = hello.clone_as("colleague").unwrap();
    let mut waiting = Vec::new();
    for version in ["0.2.0", "0.3.0", "0.4.0"] {
        colleague.set_version(version).unwrap();
        colleague.commit(version).unwrap();
        let push = colleague.start_push(&["main"]).unwrap();
        let first = &hello.head().unwrap()[..7];
        push.wait_for(&format!("gatling: waiting for deploy of hello to main {first}")).unwrap();
        waiting.push(push);
    }
    let planned = sandbox.runs("hello").unwrap().into_iter().filter(|run| run["task"].is_string());
    assert_eq!(planned.count(), 1, "only the first is carried out");
    gate.open().unwrap();

    let output = first.end().unwrap();
    assert!(output.says("hello 0.1.0 is serving at"), "{output:?}");
    for push in waiting {
        let output = push.end().unwrap();
        assert!(output.says("hello 0.4.0 is serving at") || output.says("has nothing to do"), "{output:?}");
    }
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.4.0\n".to_owned()));
    assert_eq!(deployed_commits(&sandbox), [hello.head().unwrap(), colleague.head().unwrap()]);
}
