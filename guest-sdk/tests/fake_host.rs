//! The behaviour of a fake host.

use std::time::{Duration, SystemTime};

use gatling_hooks::deployment::{self, Failure, Phase};
use gatling_hooks::testing::FakeHost;
use gatling_hooks::{Output, ProcessError, bash, info};

#[test]
fn a_program_without_an_answer_or_a_grant_does_not_run() {
    let marker = std::env::temp_dir().join("gatling-hooks-must-not-exist");
    let touch = || bash("touch", []).arg(marker.to_str().unwrap()).run();

    let without_host = touch();
    let host = FakeHost::new();
    let with_host = touch();

    for result in [without_host, with_host] {
        let Err(ProcessError::Denied(message)) = result else {
            panic!("it must be denied: {result:?}");
        };
        assert!(message.contains("FakeHost::new().answer(\"touch\""));
    }
    assert_eq!(host.ran().len(), 1);
    assert!(!marker.exists());
}

#[test]
fn a_granted_program_really_runs() {
    let _host = FakeHost::new().grant("sh");
    let script = "echo out; echo err >&2; echo $NAME in $PWD; exit 3";

    let output = bash("sh", ["-c", script]).cd("/").env("NAME", "me").output();

    let output = output.unwrap();
    assert_eq!(output.status, 3);
    assert_eq!(output.output, "out\nerr\nme in /\n");
}

#[test]
fn a_program_that_was_killed_by_a_signal_has_a_status_above_128() {
    let _host = FakeHost::new().grant("sh");
    let output = bash("sh", ["-c", "kill -9 $$"]).output().unwrap();
    assert_eq!(output.status, 137);
}

#[test]
fn a_granted_program_that_does_not_exist_is_not_found() {
    let _host = FakeHost::new().grant("no-such-program");
    let error = bash("no-such-program", []).run().unwrap_err();
    assert!(matches!(error, ProcessError::NotFound(_)), "{error:?}");
}

#[test]
fn a_program_only_gets_the_variables_that_it_gets_on_a_server() {
    let _host = FakeHost::new().grant("sh");
    let output = bash("sh", ["-c", "echo ${CARGO_MANIFEST_DIR-none}"]).run();
    let output = output.unwrap().output;
    assert_eq!(output, "none\n");
}

#[test]
fn a_later_answer_for_a_program_replaces_an_earlier_one() {
    let _host = FakeHost::new().answer("npm", 1, "").answer("npm", 0, "ok");
    let expected = Output { status: 0, output: "ok".into() };
    assert_eq!(bash("npm", []).run(), Ok(expected));
}

#[test]
fn a_dropped_host_restores_the_previous_one() {
    let outer = FakeHost::new();
    {
        let inner = FakeHost::new();
        info!("inside");
        assert_eq!(inner.logged(), ["info: inside"]);
    }
    info!("outside");
    assert_eq!(outer.logged(), ["info: outside"]);
}

#[test]
fn a_test_can_set_the_facts_about_the_call() {
    let started = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let failure = Failure { step: "mix_compile".into(), hook: None, message: "it does not compile".into() };
    let _host = FakeHost::new()
        .at(Phase::After, "mix_release")
        .run_id("7")
        .attempt(2)
        .started_at(started)
        .failed(failure.clone());

    assert_eq!(deployment::phase(), Phase::After);
    assert_eq!(deployment::step(), "mix_release");
    assert_eq!(deployment::run_id(), "7");
    assert_eq!(deployment::attempt(), 2);
    assert_eq!(deployment::started_at(), started);
    assert_eq!(deployment::failed(), Some(failure));
}
