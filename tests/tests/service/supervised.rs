//! An app that dies is started again.

use std::fs;

use gatling_tests::{Output, Project, Sandbox, processes, waiting};
use rustix::process::{Pid, Signal, kill_process};

fn deploy(hello: &Project<'_>, version: &str) {
    hello.set_version(version).unwrap();
    hello.commit(version).unwrap();
    hello.deploy().unwrap();
}

/// Calls the init script.
fn script(sandbox: &Sandbox, args: &[&str]) -> Output {
    Output::of(sandbox.command(sandbox.etc().join("hello"), sandbox.root()).args(args))
        .unwrap()
        .expect_success()
        .unwrap()
}

/// The processes that have their own pid in this variable of their environment.
fn marked(sandbox: &Sandbox, variable: &str) -> Vec<Pid> {
    let is_marked = |pid: &Pid| processes::environment(*pid).contains(&format!("{variable}={pid}"));
    processes::of(sandbox.root()).into_iter().filter(is_marked).collect()
}

fn app(sandbox: &Sandbox) -> Pid {
    let apps = || marked(sandbox, "GATLING_PID").first().copied();
    waiting::wait_for("the app to run", apps).unwrap()
}

fn supervisors(sandbox: &Sandbox) -> Vec<Pid> {
    marked(sandbox, "GATLING_SUPERVISOR")
}

/// Kills the app, and waits until another process serves the version.
fn kill(sandbox: &Sandbox, version: &str) {
    let old = app(sandbox);
    kill_process(old, Signal::KILL).unwrap();
    let is_new = || (app(sandbox) != old).then_some(());
    waiting::wait_for("another process of the app", is_new).unwrap();
    sandbox.wait_for_answer(200, &format!("hello {version}\n")).unwrap();
}

#[test]
fn an_app_that_dies_is_back_within_seconds_and_the_status_says_so() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    deploy(&hello, "0.1.0");
    assert!(!sandbox.run(&["status", "hello"]).unwrap().says("DIED"));

    kill(&sandbox, "0.1.0");

    let status = sandbox.run(&["status", "hello"]).unwrap().expect_success().unwrap();
    assert!(status.says("DIED     once in the last hour: 0.1.0 was last started again"), "{status:?}");
    let log = fs::read_to_string(sandbox.home().join("deployments/hello/log/hello.log")).unwrap();
    assert!(log.contains("hello: 0.1.0 does not run any more; starting it again"), "{log}");

    // Also after an upgrade, in the other slot; and an old death is not the new release's.
    deploy(&hello, "0.2.0");
    assert!(!sandbox.run(&["status", "hello"]).unwrap().says("DIED"));
    kill(&sandbox, "0.2.0");
    assert_eq!(supervisors(&sandbox).len(), 1);
}

#[test]
fn an_app_that_was_stopped_stays_stopped() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    deploy(&hello, "0.1.0");
    assert_eq!(supervisors(&sandbox).len(), 1);
    // Erlang itself bounds the time that the app takes to stop, because an upgrade does not wait for that.
    assert!(processes::arguments(app(&sandbox)).contains(&"-shutdown_time".to_owned()));

    script(&sandbox, &["stop"]);
    waiting::wait_for("the supervisor to end", || supervisors(&sandbox).is_empty().then_some(())).unwrap();
    assert!(marked(&sandbox, "GATLING_PID").is_empty());

    script(&sandbox, &["start"]);
    kill(&sandbox, "0.1.0");
}

#[test]
fn when_systemd_stops_an_app_that_died_for_lack_of_memory_its_supervisor_stays() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    deploy(&hello, "0.1.0");
    let mut stop = sandbox.command(sandbox.etc().join("hello"), sandbox.root());
    Output::of(stop.arg("stop").env("SERVICE_RESULT", "oom-kill")).unwrap().expect_success().unwrap();
    assert_eq!(supervisors(&sandbox).len(), 1);
    kill(&sandbox, "0.1.0");
}

#[test]
fn an_app_that_dies_again_and_again_is_started_less_and_less_often() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    // It dies as long as this file is there.
    let file = sandbox.root().join("poison");
    let dies = format!(
        "children = [\n      {{Task, fn -> Process.sleep(500); if File.exists?(\"{}\"), do: System.halt(1) end}},",
        file.display()
    );
    hello.replace("lib/hello/application.ex", "children = [", &dies).unwrap();
    hello.replace("gatling.toml", "watch = \"0s\"", "watch = \"2s\"").unwrap();
    hello.commit("Poison").unwrap();
    hello.deploy().unwrap();

    fs::write(&file, "").unwrap();
    kill_process(app(&sandbox), Signal::KILL).unwrap();
    let restarts = || {
        let text = fs::read_to_string(sandbox.home().join("deployments/hello/log/restarts")).unwrap_or_default();
        let times = text.lines().map(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap());
        times.collect::<Vec<_>>()
    };
    let four = waiting::wait_for("four restarts", || Some(restarts()).filter(|times| times.len() >= 4)).unwrap();
    let pauses: Vec<_> = four.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // At least 2, 4 and 8 seconds.
    assert!(pauses.iter().zip([2, 4, 8]).all(|(pause, least)| *pause >= least), "{pauses:?}");
    let status = sandbox.run(&["status", "hello"]).unwrap();
    assert!(status.says("times in the last hour: 0.1.0 was last started again"), "{status:?}");

    // It is not given up: when the cause is gone, it serves.
    fs::remove_file(&file).unwrap();
    sandbox.wait_for_answer(200, "hello 0.1.0\n").unwrap();
}

#[test]
fn a_supervisor_that_was_killed_is_replaced_by_the_next_start() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    deploy(&hello, "0.1.0");
    for supervisor in supervisors(&sandbox) {
        kill_process(supervisor, Signal::KILL).unwrap();
    }
    script(&sandbox, &["start"]);
    kill(&sandbox, "0.1.0");
}

#[test]
fn an_app_that_dies_during_a_build_is_started_again_at_once() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    deploy(&hello, "0.1.0");
    let (push, gate) = hello.push_to_gate().unwrap();

    kill(&sandbox, "0.1.0");

    gate.open().unwrap();
    assert!(push.end().unwrap().says("hello 0.1.0+2 is serving"));
}

#[test]
fn the_release_that_visitors_get_is_not_stopped_for_the_current_one() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    deploy(&hello, "0.1.0");
    deploy(&hello, "0.2.0");
    // As a run leaves it that was killed after the switch.
    script(&sandbox, &["start-beside", "0.1.0"]);
    script(&sandbox, &["make-live", "0.1.0"]);
    sandbox.wait_for_answer(200, "hello 0.1.0\n").unwrap();
    let is_current = |pid: &Pid| processes::environment(*pid).contains(&"GATLING_RELEASE=0.2.0".to_owned());
    let current = marked(&sandbox, "GATLING_PID").into_iter().find(is_current).unwrap();
    kill_process(current, Signal::KILL).unwrap();

    std::thread::sleep(std::time::Duration::from_secs(5));

    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    assert!(!sandbox.home().join("deployments/hello/log/restarts").exists());
    // Once nothing else runs, the current one is started.
    kill_process(app(&sandbox), Signal::KILL).unwrap();
    sandbox.wait_for_answer(200, "hello 0.2.0\n").unwrap();
}

#[test]
fn what_changes_nothing_does_not_start_an_app_that_was_stopped() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    deploy(&hello, "0.1.0");
    script(&sandbox, &["stop"]);
    for args in [&["upgrade", "9.9.9"][..], &["upgrade"], &["keep", "9.9.9"], &["supervise"]] {
        Output::of(sandbox.command(sandbox.etc().join("hello"), sandbox.root()).args(args)).unwrap();
        assert_eq!(supervisors(&sandbox), [], "after {args:?}");
    }
}

#[test]
fn a_release_that_was_told_to_stop_does_not_count_as_running() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    deploy(&hello, "0.1.0");
    deploy(&hello, "0.2.0");
    script(&sandbox, &["start-beside", "0.1.0"]);
    // It is told to stop, which takes Erlang a second, and is wanted again at once.
    script(&sandbox, &["keep", "0.2.0"]);
    script(&sandbox, &["keep", "0.1.0"]);
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    let alone = || (marked(&sandbox, "GATLING_PID").len() == 1).then_some(());
    waiting::wait_for("one release", alone).unwrap();
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));

    // So it is with the way back by the init script, which must wait for the port.
    script(&sandbox, &["start-beside", "0.2.0"]);
    script(&sandbox, &["keep", "0.1.0"]);
    script(&sandbox, &["upgrade", "0.2.0"]);
    sandbox.wait_for_answer(200, "hello 0.2.0\n").unwrap();
}
