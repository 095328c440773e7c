//! Processes that a run has started do not outlive it.

use std::fs;
use std::path::Path;

use gatling_tests::{Sandbox, processes, waiting};
use rustix::process::{Pid, Signal, kill_process};

use super::{answer, start_in_build, wait_for_version};

/// A child of the build that leaves its session, its parent and its environment as far as `how` does.
fn writer(how: &str, file: &Path) -> String {
    format!("{how} sh -c 'while :; do date +%s.%N >>{}; sleep 0.02; done'", file.display())
}

fn is_growing(file: &Path) -> bool {
    let size = || fs::metadata(file).map(|file| file.len()).unwrap_or_default();
    let before = size();
    std::thread::sleep(std::time::Duration::from_millis(200));
    size() > before
}

#[test]
fn what_the_build_leaves_in_the_background_ends_with_the_run() {
    for how in ["setsid", "exec setsid env -i PATH=/usr/bin:/bin"] {
        let sandbox = Sandbox::new().unwrap();
        let hello = sandbox.load("hello").unwrap();
        let file = sandbox.root().join("written");
        start_in_build(&hello, &writer(how, &file));
        hello.commit("A build that leaves a process").unwrap();

        hello.deploy().unwrap();

        assert!(file.exists(), "it was started");
        // The guard ends it when the run's files are on the disk: the next run waits for that.
        waiting::wait_for("the process to end", || (!is_growing(&file)).then_some(())).unwrap();
        assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));
    }
}

#[test]
fn what_a_killed_run_has_started_does_not_write_into_the_next_build() {
    // Killing the guard too takes away what would end them at once.
    for kill_guard in [false, true] {
        let sandbox = Sandbox::new().unwrap();
        let hello = sandbox.load("hello").unwrap();
        let file = sandbox.root().join("written");
        let gate = hello.add_gate().unwrap();
        start_in_build(&hello, &writer("setsid", &file));
        hello.commit("A build that leaves a process, and waits").unwrap();
        let push = hello.start_push(&["main"]).unwrap();
        gate.wait().unwrap();
        waiting::wait_for("the process", || file.exists().then_some(())).unwrap();

        let worker = sandbox.worker().expect("a run is in progress");
        if kill_guard {
            let guard = processes::of(sandbox.root()).into_iter().find(|pid| is_guard(*pid)).expect("it has a guard");
            kill_process(guard, Signal::KILL).unwrap();
        }
        _ = kill_process(worker, Signal::KILL);
        push.end().unwrap();
        gate.open().unwrap();
        hello.replace("mix.exs", "&start/1, ", "").unwrap();
        hello.replace("mix.exs", "defp start", "def start").unwrap();
        hello.set_version("0.2.0").unwrap();
        hello.commit("0.2.0").unwrap();
        hello.deploy().unwrap();

        assert!(!is_growing(&file), "it still writes (guard killed: {kill_guard})");
        wait_for_version(&sandbox, "0.2.0");
    }
}

fn is_guard(pid: Pid) -> bool {
    processes::arguments(pid).get(1).is_some_and(|argument| argument == "guard")
}

#[test]
fn the_app_keeps_running_when_its_run_has_ended() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    waiting::wait_for("the guard to end", || (!processes::of(sandbox.root()).into_iter().any(is_guard)).then_some(()))
        .unwrap();
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));
}
