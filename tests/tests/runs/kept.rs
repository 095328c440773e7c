//! Which runs are kept, those of older versions among them.

use std::fs;

use gatling_tests::{Sandbox, processes, waiting};
use rustix::process::{Signal, kill_process};
use serde_json::json;

use super::{gatling, objects};

#[test]
fn as_many_runs_are_kept_as_the_operator_says() {
    let sandbox = Sandbox::new().unwrap();
    let settings = fs::read_to_string(sandbox.config()).unwrap_or_default();
    fs::write(sandbox.config(), format!("{settings}\n[runs]\nkeep = 2\noutput = \"1kB\"\n")).unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let chatter = "Enum.each(1..999, &IO.puts(\"line #{&1}\"))\n";
    hello.write("mix.exs", &format!("{chatter}{}", hello.read("mix.exs").unwrap())).unwrap();
    for version in ["0.2.0", "0.3.0"] {
        hello.set_version(version).unwrap();
        hello.commit(version).unwrap();
        hello.deploy().unwrap();
    }

    let history = objects(&sandbox, &["history", "hello", "--json"]);

    let versions: Vec<_> = history.iter().map(|run| &run["version"]).collect();
    assert_eq!(versions, ["0.3.0", "0.2.0"]);
    assert_eq!(sandbox.run_folders("hello").len(), 2);
    // Of a step that wrote too much the beginning and the end are kept, and what was cut is said.
    let log = gatling(&sandbox, &["log", "hello"], 0);
    assert!(log.says("bytes of output omitted: journal limit reached") && log.says("line 999"), "{log:?}");
    assert!(!log.says("line 500"), "{log:?}");
}

#[test]
fn a_killed_run_is_recognised() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let gate = hello.add_gate().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("A build that waits").unwrap();
    let push = hello.start_push(&["main"]).unwrap();
    gate.wait().unwrap();
    kill_process(sandbox.worker().unwrap(), Signal::KILL).unwrap();

    let output = push.end().unwrap();
    assert!(output.says("the run's process was killed by signal 9 before the run ended"), "{output:?}");
    assert!(output.says("hello 0.1.0 is serving."), "{output:?}");
    let build_dir = sandbox.home().join("hello");
    waiting::wait_for("an idle build dir", || processes::of(&build_dir).is_empty().then_some(())).unwrap();

    let latest = &objects(&sandbox, &["history", "hello", "--json"])[0];
    assert_eq!((&latest["state"], &latest["finished_at"]), (&json!("killed"), &json!(null)), "{latest:#}");
    let log = gatling(&sandbox, &["log", "hello", "--follow"], 0);
    assert!(log.says("the run was killed at this point"), "{log:?}");
    gate.open().unwrap();
    let again = gatling(&sandbox, &["upgrade", "hello"], 0);
    assert!(again.says("was killed before it ended") && again.says("hello 0.2.0 is serving at"), "{again:?}");
    let history = objects(&sandbox, &["history", "hello", "--json"]);
    assert_eq!((&history[1]["state"], &history[1]["recovered"]), (&json!("killed"), &json!(true)));
}

#[test]
fn a_server_that_an_older_version_deployed_is_upgraded_and_keeps_its_history() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    // What an older version left: records and logs instead of journals, and one run that was killed.
    let runs = sandbox.home().join(".gatling/hello/runs");
    for folder in sandbox.run_folders("hello") {
        fs::remove_dir_all(folder).unwrap();
    }
    let record = |id: &str, outcome: &str| {
        json!({
            "id": id, "project": "hello", "task": "deploy", "commit": hello.head().unwrap(), "by": "deploy",
            "started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:05Z", "outcome": outcome,
            "version": "0.1.0", "error": null, "steps": [],
        })
    };
    for (id, outcome) in [("20260101-000000-000-1", "succeeded"), ("20260102-000000-000-1", "running")] {
        fs::write(runs.join(format!("{id}.json")), record(id, outcome).to_string()).unwrap();
        fs::write(runs.join(format!("{id}.log")), "gatling: hello 0.1.0 is serving\u{1b}[2J\n").unwrap();
    }
    assert!(gatling(&sandbox, &["status", "hello"], 0).says("hello 0.1.0 is serving."));

    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    let output = hello.deploy().unwrap();

    assert!(output.says("the run 20260102-000000-000-1 was killed before it ended"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
    let history = objects(&sandbox, &["history", "hello", "--json"]);
    let states: Vec<_> = history.iter().map(|run| run["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["succeeded", "failed", "succeeded"]);
    let log = gatling(&sandbox, &["log", "hello", "20260101"], 0);
    assert_eq!(log.stdout, "gatling: hello 0.1.0 is serving\\u{1b}[2J\n");
    let report = gatling(&sandbox, &["report", "hello", "20260101"], 1);
    assert!(report.says("has no journal: an older version of gatling wrote only its log"), "{report:?}");
}
