//! Runs: what is written down of them, and what people see of that.

mod damage;
mod full;
mod kept;
mod looks;
mod page;
mod secrets;

use std::fs;
use std::path::PathBuf;

use gatling_tests::server::{Run, Server, Shared};
use gatling_tests::{Output, Sandbox, waiting};
use serde_json::Value;

static SERVER: Shared = Shared::new();

/// Runs `gatling` with `args`, which is to exit with `code`.
#[track_caller]
fn gatling(sandbox: &Sandbox, args: &[&str], code: i32) -> Output {
    let output = sandbox.run(args).unwrap();
    assert_eq!(output.status.code(), Some(code), "gatling {args:?}: {output:?}");
    output
}

/// The objects that `gatling` with `args` prints, one a line.
#[track_caller]
fn objects(sandbox: &Sandbox, args: &[&str]) -> Vec<Value> {
    let output = gatling(sandbox, args, 0);
    output.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// The journal of the latest run.
fn journal(server: &Server) -> PathBuf {
    server.sandbox.run_folders("hello").pop().unwrap().join("journal.jsonl")
}

/// Pushes a new version, which is to be deployed, and waits for the last line of its journal, which is written after
/// the push has ended.
fn push(server: &Server, version: &str) -> Run {
    server.hello.set_version(version).unwrap();
    let run = server.push().unwrap().expect_code(0).unwrap();
    wait_for_journal(server);
    run
}

fn wait_for_journal(server: &Server) {
    waiting::wait_for("the end of the journal", || read(&journal(server)).contains("\"synced\"").then_some(()))
        .unwrap();
}

/// What `git push` shows of a server's output.
fn remote(run: &Run) -> Vec<String> {
    let lines = run.output.stderr.lines().filter_map(|line| line.strip_prefix("remote: "));
    lines.map(|line| line.trim_end().to_owned()).collect()
}

fn read(path: &PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
