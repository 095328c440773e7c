//! The way back: `gatling rollback`, `gatling releases`, and what is remembered of releases that failed.

use gatling_tests::load::{Kind, Load};
use gatling_tests::{Output, Sandbox};

use super::{check, gatling, push, server, wait_until_alone};

/// A line of `gatling releases`.
fn release(sandbox: &Sandbox, name: &str) -> String {
    let releases = gatling(sandbox, &["releases", "hello"], 0).stdout;
    let mut lines = releases.lines().filter(|line| line.split(' ').next() == Some(name));
    lines.next().unwrap_or_else(|| panic!("{name} is not in {releases}")).to_owned()
}

#[test]
fn a_rollback_builds_nothing_and_loses_no_request() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    push(&hello, "0.2.0");
    push(&hello, "0.3.0");
    let load = Load::start(sandbox.nginx_port(), &[(Kind::Get, 4), (Kind::Post, 4), (Kind::New, 2)]);

    // The release before is in the other slot, so it is started as it is.
    let output = gatling(&sandbox, &["rollback", "hello"], 0);
    assert!(output.says("hello 0.2.0 is serving") && !output.says("$ mix"), "{output:?}");
    wait_until_alone(&sandbox, "0.2.0");
    assert!(release(&sandbox, "0.3.0").ends_with("rolled back to 0.2.0"));
    assert!(release(&sandbox, "0.2.0").contains("serves since"));

    // 0.3.0 is marked. The one before it is in the other slot too.
    let output = gatling(&sandbox, &["rollback", "hello"], 0);
    assert!(output.says("hello 0.1.0 is serving"), "{output:?}");
    // By its name, a marked one can serve again. It ran in the slot that is taken.
    let output = gatling(&sandbox, &["rollback", "hello", "0.3.0"], 0);
    assert!(output.says("so a copy of it is started: 0.3.0+2") && output.says("0.3.0+2 is serving"), "{output:?}");
    std::thread::sleep(std::time::Duration::from_millis(500));
    check(&load.stop(), &["0.3.0", "0.2.0", "0.1.0", "0.3.0"]);

    let output = gatling(&sandbox, &["rollback", "hello", "0.9.0"], 1);
    assert!(output.says("there is no release 0.9.0. The releases that served are:"), "{output:?}");
    let output = gatling(&sandbox, &["rollback", "hello", "../0.1.0"], 1);
    assert!(output.says("there is no release ../0.1.0"), "{output:?}");
}

#[test]
fn the_commit_of_a_release_that_was_rolled_back_from_is_deployed_again_with_a_word() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    push(&hello, "0.2.0");
    gatling(&sandbox, &["rollback", "hello"], 0);
    let status = gatling(&sandbox, &["status", "hello"], 0);
    assert!(
        status.says("hello 0.1.0 is serving") && status.says("which does not serve any more: rolled back to 0.1.0"),
        "{status:?}"
    );

    let output = gatling(&sandbox, &["upgrade", "hello"], 0);
    assert!(output.says("warning: this commit was deployed before and did not stay: release 0.2.0 ("), "{output:?}");
    assert!(output.says("rolled back to 0.1.0)") && output.says("hello 0.2.0+2 is serving"), "{output:?}");
}

#[test]
fn a_rollback_works_when_the_current_release_does_not_start() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    push(&hello, "0.2.0");
    // Its files are gone, and so is its process.
    let script = sandbox.etc().join("hello");
    let mut stop = sandbox.command(&script, sandbox.root());
    Output::of(stop.arg("stop")).unwrap().expect_success().unwrap();
    std::fs::remove_dir_all(sandbox.home().join("deployments/hello/releases/0.2.0/hello/bin")).unwrap();
    gatling(&sandbox, &["status", "hello"], 1);

    let output = gatling(&sandbox, &["rollback", "hello"], 0);
    assert!(output.says("hello 0.1.0 is serving"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    gatling(&sandbox, &["status", "hello"], 0);
}

#[test]
fn a_rollback_past_a_migration_stops_unless_it_is_told_what_to_do() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    hello.write("priv/repo/migrations/20260101000000_add_planets.exs", "# hello has no database\n").unwrap();
    push(&hello, "0.2.0");
    let output = gatling(&sandbox, &["rollback", "hello"], 1);
    assert!(
        output.says("the database has migrations that 0.1.0 does not know: 20260101000000_add_planets"),
        "{output:?}"
    );
    assert!(output.says("--past-migrations") && output.says("hello 0.2.0 is serving"), "{output:?}");
    let output = gatling(&sandbox, &["rollback", "hello", "--migrate-down"], 1);
    assert!(output.says("gatling does not know the repositories of 0.2.0"), "{output:?}");
    let output = gatling(&sandbox, &["rollback", "hello", "--past-migrations"], 0);
    assert!(output.says("hello 0.1.0 is serving"), "{output:?}");
}

#[test]
fn without_an_older_release_there_is_nothing_to_go_back_to() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    let output = gatling(&sandbox, &["rollback", "hello"], 1);
    assert!(output.says("there is no older release that served well"), "{output:?}");
    assert!(output.says("hello 0.1.0 is serving"), "{output:?}");
    drop(hello);
}
