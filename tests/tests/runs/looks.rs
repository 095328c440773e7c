//! What people see of a run, while it is under way and later.

use std::process::Command;

use gatling_tests::{Sandbox, waiting};
use serde_json::json;

use super::{SERVER, gatling, journal, objects, push, read, remote, wait_for_journal};

#[test]
fn what_a_push_shows_is_what_the_log_shows_later() {
    let server = SERVER.lock();
    let run = push(&server, "0.2.0");

    let log = gatling(server.sandbox, &["log", "hello"], 0);

    let log: Vec<_> = log.stdout.lines().map(str::to_owned).collect();
    assert_eq!(remote(&run), log);
    assert!(log[0].starts_with("gatling: hello 0.2.0  main "), "{log:#?}");
    let work = log.last().unwrap();
    assert!(work.starts_with("  8 steps, 0 hooks, ") && work.contains("upgrade_service "), "{work}");
}

#[test]
fn as_json_the_log_is_the_journal() {
    let server = SERVER.lock();
    push(&server, "0.2.0");
    let lines = objects(server.sandbox, &["log", "hello", "--json"]);
    let written: Vec<serde_json::Value> =
        read(&journal(&server)).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, written);
    let kinds: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let kinds: Vec<_> = kinds.into_iter().filter(|kind| *kind != "synced").collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("begun", "ended"));
    let changes: Vec<_> = lines.iter().filter(|line| line["event"] == "changing").map(|line| &line["change"]).collect();
    assert_eq!(changes, ["checkout", "assets", "release", "old_releases"]);
    let release = lines.iter().find(|line| line["change"] == "release").unwrap();
    assert!(release["undo"].to_string().contains("\"keep\""), "{release}");

    let printed = gatling(server.sandbox, &["upgrade", "hello", "--json"], 0);
    wait_for_journal(&server);
    // The last line may come before or after the end of the command.
    let until_synced = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("\"synced\""));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(until_synced(&printed.stdout), until_synced(&read(&journal(&server))));
}

#[test]
fn a_log_can_be_short_and_long() {
    let server = SERVER.lock();
    push(&server, "0.2.0");
    let log = |option: &str| gatling(server.sandbox, &["log", "hello", option], 0).stdout;
    let (quiet, verbose) = (log("--quiet"), log("--verbose"));
    assert!(quiet.lines().all(|line| !line.starts_with("    ")), "{quiet}");
    assert!(quiet.contains("\nmix_compile  ") && quiet.contains("is serving at"), "{quiet}");
    assert!(verbose.contains("$ cp -a --reflink=auto") && verbose.contains(", begun by "), "{verbose}");
}

/// What `gatling` with `args` writes to a terminal.
fn on_terminal(sandbox: &Sandbox, args: &str, variables: &[(&str, &str)]) -> String {
    let mut script: Command = sandbox.command("script", sandbox.root());
    script.args(["--quiet", "--return", "--command", &format!("gatling {args}"), "/dev/null"]);
    script.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("COLUMNS").envs(variables.iter().copied());
    let output = script.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn there_are_colours_on_a_terminal_that_has_them_and_nowhere_else() {
    let server = SERVER.lock();
    push(&server, "0.2.0");
    let color = "\u{1b}[32mok\u{1b}[0m";
    let shown = |variables: &[(&str, &str)]| on_terminal(server.sandbox, "log hello", variables);
    assert!(shown(&[]).contains(color), "{:?}", shown(&[]));
    for variables in [[("NO_COLOR", "1")], [("TERM", "dumb")]] {
        assert!(!shown(&variables).contains('\u{1b}'), "{variables:?}");
    }
    assert!(!gatling(server.sandbox, &["log", "hello"], 0).stdout.contains('\u{1b}'));
    // While it runs, a line that changes says what is under way.
    let shown = on_terminal(server.sandbox, "upgrade hello", &[]);
    assert!(shown.contains("\r\u{1b}[K"), "{shown:?}");
    assert!(shown.contains("8 steps, 0 hooks, "), "{shown:?}");
}

#[test]
fn a_run_in_progress_is_listed_and_can_be_followed_from_anywhere() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let gate = hello.add_gate().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("A build that waits").unwrap();
    let push = hello.start_push(&["main"]).unwrap();
    gate.wait().unwrap();

    let status = &objects(&sandbox, &["status", "hello", "--json"])[0];
    let run = &status["under_way"][0];
    assert_eq!((&run["state"], &run["pipeline"]), (&json!("running"), &json!("upgrade")), "{status:#}");
    assert!(run["at"].as_str().unwrap().starts_with("mix_"), "{run:#}");
    assert_eq!((&status["serving"]["release"], &status["healthy"]), (&json!("0.1.0"), &json!(true)));
    let text = gatling(&sandbox, &["status"], 0);
    assert!(text.says("hello 0.1.0 is serving.") && text.says("running  upgrade, at mix_"), "{text:?}");
    assert!(text.says("last run deploy of 0.1.0"), "{text:?}");
    let history = gatling(&sandbox, &["history", "hello"], 0);
    assert!(history.stdout.lines().nth(1).unwrap().ends_with("running"), "{history:?}");

    let log = gatling(&sandbox, &["log", "hello"], 0);
    assert!(log.says("hello 0.2.0") && log.says("the run is in progress"), "{log:?}");
    let follower = sandbox.start(&mut sandbox.gatling(&["log", "hello", "--follow"])).unwrap();
    follower.wait_for("hello 0.2.0").unwrap();
    // A second push waits, and is seen to wait.
    hello.write("assets/later.txt", "later").unwrap();
    hello.commit("Another").unwrap();
    let second = hello.start_push(&["main"]).unwrap();
    let waits = || {
        let status = &objects(&sandbox, &["status", "hello", "--json"])[0];
        status["under_way"].as_array().unwrap().iter().any(|run| run["state"] == "waiting").then_some(())
    };
    waiting::wait_for("the second push to wait", waits).unwrap();
    gate.open().unwrap();

    let followed = follower.end().unwrap();
    assert!(followed.says("hello 0.2.0 is serving at"), "{followed:?}");
    assert!(push.end().unwrap().says("hello 0.2.0 is serving at"));
    assert!(second.end().unwrap().says("is serving at"));
    let status = &objects(&sandbox, &["status", "hello", "--json"])[0];
    assert_eq!((&status["under_way"], &status["last"]["state"]), (&json!([]), &json!("succeeded")), "{status:#}");
}

#[test]
fn status_asks_what_serves() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    assert!(gatling(&sandbox, &["status", "hello"], 0).says("hello is not deployed: no release is running."));
    hello.deploy().unwrap();
    let mut stop = sandbox.command(sandbox.etc().join("hello"), sandbox.root());
    assert!(stop.arg("stop").status().unwrap().success());
    let status = gatling(&sandbox, &["status"], 1);
    assert!(status.says("hello is NOT serving: its release 0.1.0 does not answer. Start it with:"), "{status:?}");
}
