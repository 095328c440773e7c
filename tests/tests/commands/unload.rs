//! `gatling unload`.

use std::fs;

use gatling_tests::Sandbox;

use crate::{run, snapshot};

#[test]
fn unloading_without_a_terminal_removes_nothing() {
    let sandbox = Sandbox::new().unwrap();
    sandbox.load("hello").unwrap();
    let before = snapshot(&sandbox.home());

    run(&sandbox, &["unload", "hello"], 2, &["--yes"]);

    assert_eq!(snapshot(&sandbox.home()), before);
}

#[test]
fn unloading_removes_the_project_and_leaves_its_database_alone() {
    let sandbox = Sandbox::new().unwrap();
    sandbox.load("hello").unwrap();
    run(&sandbox, &["load", "shop"], 0, &[]);

    run(&sandbox, &["unload", "hello", "--yes"], 0, &["hello is unloaded", "database was kept"]);

    assert!(!sandbox.home().join("hello").exists());
    assert!(!sandbox.home().join("deployments/hello").exists());
    run(&sandbox, &["env", "hello"], 2, &["there is no project hello", "shop"]);
}

#[test]
fn what_is_left_of_a_project_can_still_be_unloaded() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &[]);
    fs::remove_dir_all(sandbox.home().join("deployments/hello")).unwrap();

    run(&sandbox, &["unload", "hello", "--yes"], 0, &["hello is unloaded"]);

    assert!(!sandbox.home().join("hello").exists());
}
