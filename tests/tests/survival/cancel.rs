//! Runs that are cancelled, or take too long.

use gatling_tests::{Sandbox, places, processes, waiting};
use rustix::process::{Signal, kill_process};

use super::{answer, outcomes, push_endless, wait_for_version};

#[test]
fn a_cancelled_build_ends_with_everything_it_has_started_and_the_old_version_serves() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    hello.set_version("0.2.0").unwrap();
    let (push, gate) = hello.push_to_gate().unwrap();

    let cancel = sandbox.run(&["cancel", "hello"]).unwrap();

    assert!(cancel.status.success() && cancel.says("it was stopped"), "{cancel:?}");
    let output = push.end().unwrap();
    assert!(output.says("upgrade of hello was cancelled: the step mix_digest"), "{output:?}");
    assert!(output.says("because it was stopped by "), "{output:?}");
    assert!(
        output.says("hello 0.1.0 is serving") && output.says("To run it again: `gatling upgrade hello`"),
        "{output:?}"
    );
    assert_eq!(outcomes(&sandbox), ["succeeded", "cancelled"]);
    // The run's own processes end a moment after its output does.
    let is_idle = || processes::of(&sandbox.home().join("hello")).is_empty().then_some(());
    waiting::wait_for("the processes of the run to end", is_idle).unwrap();
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));

    gate.open().unwrap();
    assert!(sandbox.run(&["upgrade", "hello"]).unwrap().status.success());
    assert_eq!(sandbox.get("/").unwrap(), answer("0.2.0"));
}

#[test]
fn on_failure_is_called_when_a_run_is_cancelled_and_knows_it() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    hello.copy_hooks(&places::guest("grieving").unwrap(), "upgrade.wasm").unwrap();
    hello.set_version("0.2.0-cancelled").unwrap();
    let (push, _gate) = hello.push_to_gate().unwrap();

    sandbox.run(&["cancel", "hello"]).unwrap();

    let output = push.end().unwrap();
    for words in ["failed at step mix_digest, hook none", "cancelled true, traffic moved false, serving 0.1.0"] {
        assert!(output.says(words), "{words:?} is not in {output:?}");
    }
}

#[test]
fn sigterm_to_the_worker_cancels_a_run_and_a_hook_that_only_computes() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let push = push_endless(&sandbox, &hello, "upgrade", "before-mix-release");

    kill_process(sandbox.worker().expect("a run is in progress"), Signal::TERM).unwrap();

    let output = push.end().unwrap();
    assert!(output.says("upgrade of hello was cancelled") && output.says("stopped by a signal"), "{output:?}");
    assert_eq!(outcomes(&sandbox), ["succeeded", "cancelled"]);
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));
}

#[test]
fn a_run_that_changes_what_serves_is_finished_and_cancel_says_so() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.replace("gatling.toml", "watch = \"0s\"", "watch = \"3s\"").unwrap();
    hello.commit("0.2.0").unwrap();
    let push = hello.start_push(&["main"]).unwrap();
    wait_for_version(&sandbox, "0.2.0");

    let cancel = sandbox.run(&["cancel", "hello"]).unwrap();

    assert_eq!(cancel.status.code(), Some(1), "{cancel:?}");
    assert!(cancel.says("too late to stop it; it succeeded"), "{cancel:?}");
    let output = push.end().unwrap();
    assert!(output.says("too late") && output.says("hello 0.2.0 is serving at"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.2.0"));
}

#[test]
fn a_step_that_takes_longer_than_step_timeout_is_stopped() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let _gate = hello.add_gate().unwrap();
    let settings = hello.read("gatling.toml").unwrap();
    hello.write("gatling.toml", &format!("step_timeout = \"4s\"\n{settings}")).unwrap();
    hello.commit("A build that waits for ever").unwrap();

    let output = hello.push().unwrap();

    for words in ["upgrade of hello failed: the step mix_digest", "stopped after 4.0 s: `step_timeout` in gatling.toml"]
    {
        assert!(output.says(words), "{words:?} is not in {output:?}");
    }
    assert_eq!(outcomes(&sandbox), ["succeeded", "failed"]);
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));
}

#[test]
fn a_run_that_waits_can_be_cancelled_and_without_a_run_cancel_says_so() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let nothing = sandbox.run(&["cancel", "hello"]).unwrap();
    assert_eq!(nothing.status.code(), Some(1));
    assert!(nothing.says("has no runs yet") || nothing.says("no run of hello is in progress"), "{nothing:?}");
    let (first, gate) = hello.push_to_gate().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    let second = hello.start_push(&["main"]).unwrap();
    second.wait_for("gatling: waiting for deploy of hello").unwrap();
    let waiting = sandbox.runs("hello").unwrap().pop().unwrap();

    let cancel = sandbox.run(&["cancel", "hello", waiting["id"].as_str().unwrap()]).unwrap();

    assert!(cancel.status.success(), "{cancel:?}");
    let output = second.end().unwrap();
    assert!(output.says("was cancelled"), "{output:?}");
    gate.open().unwrap();
    assert!(first.end().unwrap().says("hello 0.1.0 is serving at"));
}
