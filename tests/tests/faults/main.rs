//! A fault at every point of every pipeline: before each event, and before and after each action, the worker is killed,
//! or everything is and the server boots, or a write fails. After each of them some version serves, `gatling status` is
//! true, the next push deploys, and nothing is left behind.
//!
//! `GATLING_FAULTS=all` tries every kind of fault at every point, `none` only counts the points. Otherwise each point gets
//! one kind, in turn. `GATLING_FAULT_POINTS` is a folder to write the names of the points to.

mod lost_writes;
mod random;
mod stage;

use std::env;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use stage::Stage;

/// What happens at a point.
const KINDS: [&str; 4] = ["kill", "stop", "enospc", "eio"];

/// The points of a pipeline, in order, from a run without a fault.
fn points(stage: &Stage, what: &str) -> Result<Vec<String>> {
    let list = stage.sandbox.root().join("points");
    _ = fs::remove_file(&list);
    let run = stage.start(what, &format!("0:list:{}", stage.sandbox.root().display()))?.end()?;
    ensure!(run.status.success(), "{run:?}");
    let points: Vec<_> = fs::read_to_string(&list)?.lines().map(str::to_owned).collect();
    ensure!(points.len() > 10, "only these points were passed: {points:?}");
    Ok(points)
}

/// The kinds of faults to try at a point.
fn kinds(number: usize) -> Vec<&'static str> {
    match env::var("GATLING_FAULTS").as_deref() {
        Ok("all") => KINDS.to_vec(),
        Ok("none") => Vec::new(),
        _ => vec![KINDS[number % KINDS.len()]],
    }
}

/// Starts a run with a fault, and returns when that has happened. `stop` ends with a boot.
fn fail_at(stage: &Stage, what: &str, number: usize, kind: &str) -> Result<()> {
    if kind == "stop" {
        return if stage.stop_at(what, number)? { stage.boot() } else { Ok(()) };
    }
    stage.start(what, &format!("{number}:{kind}:{}", stage.sandbox.root().display()))?.end()?;
    Ok(())
}

/// `gatling status` says what visitors get.
fn check_status(stage: &Stage) -> Result<()> {
    let status = stage.sandbox.run(&["status", "hello", "--json"])?;
    let last = status.stdout.lines().last().unwrap_or_default();
    let facts: serde_json::Value = serde_json::from_str(last).with_context(|| format!("{status:?}"))?;
    let serving = facts["serving"]["release"].as_str().unwrap_or_default();
    let served = stage.served().unwrap_or_default();
    ensure!(serving.split('+').next() == Some(served.as_str()), "visitors get {served:?}, and {status:?}");
    ensure!(facts["healthy"] == true && status.status.success(), "{status:?}");
    ensure!(stage.current().as_deref() == Some(serving), "the server boots with {:?}, and {status:?}", stage.current());
    Ok(())
}

/// The next push deploys, and leaves nothing behind.
fn check_next_push(stage: &mut Stage) -> Result<()> {
    let next = stage.next_version()?;
    stage.hello().deploy().context("the next push")?;
    stage.wait_for(&[&next]).context("after the next push")?;
    check_status(stage).context("the status after the next push")?;
    stage.expect_tidy()
}

/// Prints how many points there are, and fails with all that went wrong.
fn report(pipeline: &str, points: &[String], failures: &[String]) {
    println!("{pipeline}: {} points", points.len());
    if let Ok(folder) = env::var("GATLING_FAULT_POINTS") {
        fs::write(format!("{folder}/{pipeline}"), points.join("\n") + "\n").unwrap();
    }
    assert!(failures.is_empty(), "{} faults of {pipeline}:\n{}", failures.len(), failures.join("\n"));
}

/// Tries every fault, and collects what goes wrong.
fn at_every_point(points: &[String], mut attempt: impl FnMut(usize, &str) -> Result<()>) -> Vec<String> {
    let mut failures = Vec::new();
    for (number, name) in points.iter().enumerate() {
        for kind in kinds(number) {
            if let Err(error) = attempt(number, kind) {
                failures.push(format!("{kind} at {number} ({name}): {error:#}"));
            }
        }
    }
    failures
}

/// Pushes the next version, whose run has a fault: the old or the new version serves, and the next push deploys.
fn upgrade_with_fault(stage: &mut Stage, number: usize, kind: &str) -> Result<()> {
    let old = stage.served().unwrap_or_default();
    let new = stage.next_version()?;
    fail_at(stage, "push", number, kind)?;
    stage.wait_for(&[&old, &new]).context("after the fault")?;
    check_status(stage).context("the status")?;
    check_next_push(stage)
}

#[test]
fn an_upgrade_survives_a_fault_at_every_point() {
    let mut stage = Stage::new().unwrap();
    stage.next_version().unwrap();
    stage.hello().deploy().unwrap();
    stage.next_version().unwrap();
    let points = points(&stage, "push").unwrap();

    let failures = at_every_point(&points, |number, kind| upgrade_with_fault(&mut stage, number, kind));

    report("upgrade", &points, &failures);
}

#[test]
fn an_upgrade_in_place_survives_a_fault_at_every_point() {
    let mut stage = Stage::new().unwrap();
    stage.upgrade_in_place(true).unwrap();
    stage.next_version().unwrap();
    stage.hello().deploy().unwrap();
    stage.next_version().unwrap();
    let points = points(&stage, "push").unwrap();
    let calls = |action| points.iter().any(|point| point.split(' ').nth(3) == Some(action));
    assert!(calls("in-place") && !calls("start-beside"), "{points:#?}");

    let failures = at_every_point(&points, |number, kind| upgrade_with_fault(&mut stage, number, kind));

    report("upgrade in place", &points, &failures);
}

#[test]
fn a_first_deployment_survives_a_fault_at_every_point() {
    let mut stage = Stage::new().unwrap();
    stage.next_version().unwrap();
    let points = points(&stage, "push").unwrap();

    let failures = at_every_point(&points, |number, kind| {
        stage.gatling(&["unload", "hello", "--yes"])?;
        stage.gatling(&["load", "hello"])?;
        stage.next_version()?;
        fail_at(&stage, "push", number, kind)?;
        // Nothing served before, so nothing must serve; but what serves is what the server boots with.
        if stage.served().is_some() {
            check_status(&stage).context("the status")?;
        }
        check_next_push(&mut stage)
    });

    report("deploy", &points, &failures);
}

#[test]
fn an_unload_survives_a_fault_at_every_point() {
    let mut stage = Stage::new().unwrap();
    stage.next_version().unwrap();
    stage.hello().deploy().unwrap();
    let points = points(&stage, "unload").unwrap();

    let failures = at_every_point(&points, |number, kind| {
        stage.gatling(&["load", "hello"])?;
        stage.next_version()?;
        stage.hello().deploy().context("a deployment")?;
        fail_at(&stage, "unload", number, kind)?;
        if stage.sandbox.home().join("hello").exists() || stage.sandbox.home().join("deployments/hello").exists() {
            stage.gatling(&["unload", "hello", "--yes"]).context("the next unload")?;
        }
        for left in ["home/hello", "home/deployments/hello", "etc/hello", "nginx/sites-enabled/hello"] {
            let left = stage.sandbox.root().join(left);
            ensure!(left.symlink_metadata().is_err(), "{} is left", left.display());
        }
        ensure!(stage.served().is_none(), "it still serves");
        stage.expect_tidy()
    });

    report("unload", &points, &failures);
}

#[test]
fn a_restart_survives_a_fault_at_every_point() {
    let mut stage = Stage::new().unwrap();
    stage.next_version().unwrap();
    stage.hello().deploy().unwrap();
    let mut number_of_restarts = 0;
    let mut set = |stage: &Stage| {
        number_of_restarts += 1;
        stage.gatling(&["config", "set", "hello", &format!("NUMBER={number_of_restarts}")]).map(drop)
    };
    set(&stage).unwrap();
    let points = points(&stage, "restart").unwrap();

    let failures = at_every_point(&points, |number, kind| {
        set(&stage)?;
        let old = stage.served().unwrap_or_default();
        fail_at(&stage, "restart", number, kind)?;
        stage.wait_for(&[&old]).context("after the fault")?;
        check_status(&stage).context("the status")?;
        stage.gatling(&["restart", "hello"]).context("the next restart")?;
        check_status(&stage).context("the status after the next restart")?;
        check_next_push(&mut stage)
    });

    report("restart", &points, &failures);
}

#[test]
fn a_rollback_survives_a_fault_at_every_point() {
    let mut stage = Stage::new().unwrap();
    for _ in 0..2 {
        stage.next_version().unwrap();
        stage.hello().deploy().unwrap();
    }
    let points = points(&stage, "rollback").unwrap();

    let failures = at_every_point(&points, |number, kind| {
        let older = stage.served().unwrap_or_default();
        let newer = stage.next_version()?;
        stage.hello().deploy().context("a deployment")?;
        fail_at(&stage, "rollback", number, kind)?;
        stage.wait_for(&[&older, &newer]).context("after the fault")?;
        check_status(&stage).context("the status")?;
        check_next_push(&mut stage)
    });

    report("rollback", &points, &failures);
}
