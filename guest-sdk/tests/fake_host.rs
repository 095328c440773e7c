//! What a fake host promises to the tests that use it.

use std::time::{Duration, SystemTime};

use gatling_hooks::deployment::{self, Failure, Phase};
use gatling_hooks::testing::FakeHost;
use gatling_hooks::{Output, ProcessError, bash, info};

#[test]
fn nothing_runs_that_a_test_said_nothing_about() {
    let marker = std::env::temp_dir().join("gatling-hooks-must-not-exist");
    let touch = || bash("touch", []).arg(marker.to_str().unwrap()).run();

    let without_host = touch();
    let host = FakeHost::new();
    let with_host = touch();

    for result in [without_host, with_host] {
        let Err(ProcessError::Denied(message)) = result else {
            panic!("it was to be denied: {result:?}");
        };
        assert!(message.contains("FakeHost::new().answer(\"touch\""));
    }
    assert_eq!(host.ran().len(), 1);
    assert!(!marker.exists());
}

#[test]
fn what_a_test_grants_really_runs() {
    let _host = FakeHost::new().grant("sh");
    let script = "echo out; echo err >&2; echo $NAME in $PWD; exit 3";

    let output = bash("sh", ["-c", script]).cd("/").env("NAME", "me").output();

    let output = output.unwrap();
    assert_eq!(output.status, 3);
    assert_eq!(output.output, "out\nerr\nme in /\n");
}

#[test]
fn a_program_that_a_signal_ended_has_a_status_above_128() {
    let _host = FakeHost::new().grant("sh");
    let output = bash("sh", ["-c", "kill -9 $$"]).output().unwrap();
    assert_eq!(output.status, 137);
}

#[test]
fn a_granted_program_that_is_not_there_is_not_found() {
    let _host = FakeHost::new().grant("no-such-program");
    let error = bash("no-such-program", []).run().unwrap_err();
    assert!(matches!(error, ProcessError::NotFound(_)), "{error:?}");
}

#[test]
fn a_program_gets_no_variables_but_those_it_gets_on_a_server() {
    let _host = FakeHost::new().grant("sh");
    let output = bash("sh", ["-c", "echo ${CARGO_MANIFEST_DIR-none}"]).run();
    let output = output.unwrap().output;
    assert_eq!(output, "none\n");
}

#[test]
fn the_last_answer_for_a_program_counts() {
    let _host = FakeHost::new().answer("npm", 1, "").answer("npm", 0, "ok");
    let expected = Output { status: 0, output: "ok".into() };
    assert_eq!(bash("npm", []).run(), Ok(expected));
}

#[test]
fn a_host_ends_when_it_is_dropped() {
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
fn a_test_says_what_is_true_of_the_call() {
    let began = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let failure = Failure { step: "mix_compile".into(), hook: None, message: "it does not compile".into() };
    let _host = FakeHost::new()
        .at(Phase::After, "mix_release")
        .run_id("7")
        .attempt(2)
        .started_at(began)
        .failed(failure.clone());

    assert_eq!(deployment::phase(), Phase::After);
    assert_eq!(deployment::step(), "mix_release");
    assert_eq!(deployment::run_id(), "7");
    assert_eq!(deployment::attempt(), 2);
    assert_eq!(deployment::started_at(), began);
    assert_eq!(deployment::failed(), Some(failure));
}
