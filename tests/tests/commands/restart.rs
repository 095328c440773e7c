//! `gatling restart`: a changed environment is proven as a new release is.

use std::fs;

use gatling_tests::server::{Server, Shared};
use serde_json::Value;

use crate::said;

static SERVER: Shared = Shared::new();

/// What the running app has for a variable.
fn has(server: &Server, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{}/environ", server.serving().unwrap().pid)).unwrap();
    let variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    variables.filter_map(|variable| variable.strip_prefix(&format!("{name}=")).map(str::to_owned)).next()
}

fn set(server: &Server, pair: &str) {
    server.gatling(&["config", "set", "hello", pair]).unwrap().expect_code(0).unwrap();
}

fn restart(server: &Server, code: i32, words: &[&str]) {
    let args = ["restart", "hello"];
    said(server.gatling(&args).unwrap(), &args, code, words);
}

#[test]
fn a_changed_variable_reaches_the_app_in_a_new_release() {
    let server = SERVER.lock();
    let before = server.serving().unwrap();
    set(&server, "COLOUR=green");

    restart(&server, 0, &["as a copy, 0.1.0+", " is serving"]);

    assert_ne!(server.serving().unwrap().pid, before.pid);
    assert_eq!(has(&server, "COLOUR").as_deref(), Some("green"));
    let plain = fs::read_to_string(server.deploy_dir().join("releases/0.1.0/.env")).unwrap();
    assert!(!plain.contains("COLOUR"), "the release that served before has its own environment:\n{plain}");
    // It is a run like any other.
    let said = server.gatling(&["history", "hello"]).unwrap().expect_code(0).unwrap();
    let latest = said.output.stdout.lines().nth(1).unwrap().to_owned();
    assert!(latest.contains("restart") && latest.contains("succeeded"), "{latest}");
    let journal = server.gatling(&["log", "hello", "--json"]).unwrap().expect_code(0).unwrap().output.stdout;
    let events: Vec<Value> = journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let changes: Vec<_> = events.iter().filter(|event| event["change"] == "release").collect();
    assert_eq!((&changes[0]["event"], &changes[1]["event"]), (&"changing".into(), &"changed".into()), "{journal}");
    assert!(changes[0]["undo"].to_string().contains("\"0.1.0\""), "{journal}");
}

#[test]
fn without_a_changed_variable_the_same_release_is_started_beside_itself() {
    let server = SERVER.lock();
    let before = server.serving().unwrap();

    restart(&server, 0, &["has not changed", "it is restarted as a copy, 0.1.0+", "hello 0.1.0+"]);

    let after = server.serving().unwrap();
    assert_ne!(after.pid, before.pid);
    assert_eq!(after.answer, before.answer);
}

#[test]
fn after_a_restart_with_a_bad_value_the_old_environment_is_restored() {
    let server = SERVER.lock();
    set(&server, "RELEASE_VM_ARGS=/nonexistent/vm.args");

    restart(
        &server,
        1,
        &["Failed to open arguments file \"[RELEASE_VM_ARGS]\"", "stopped by itself", "hello 0.1.0 is serving."],
    );

    assert_eq!(server.serving().unwrap().answer, (200, "hello 0.1.0\n".to_owned()));
    assert_ne!(has(&server, "RELEASE_VM_ARGS").as_deref(), Some("/nonexistent/vm.args"));
}

#[test]
fn a_restart_does_not_change_the_port() {
    let server = SERVER.lock();
    set(&server, "PORT=4321");

    restart(&server, 0, &["PORT changes with an upgrade", "gatling upgrade hello"]);

    assert_eq!(server.serving().unwrap().answer, (200, "hello 0.1.0\n".to_owned()));
    assert_ne!(has(&server, "PORT").as_deref(), Some("4321"));
}
