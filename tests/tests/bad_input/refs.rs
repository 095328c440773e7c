//! Pushes of other refs than the deploy branch, and to projects that do not exist.

use crate::{EARLY, assert_refused, assert_says, assert_untouched};

#[test]
fn a_project_that_was_never_loaded_is_refused_with_the_command_to_load_it() {
    let server = EARLY.lock();
    let before = server.serving().unwrap();

    for args in [&["upgrade", "goodbye"][..], &["deploy", "goodbye"], &["receive", "goodbye", "refs/heads/main"]] {
        let run = server.gatling(args).unwrap().expect_code(2).unwrap();
        assert_says(&run, &["there is no project goodbye", "there are: hello", "gatling load goodbye"]);
    }
    let repository = server.sandbox.home().join("goodbye");
    let push = server.hello.git(&["push", &repository.display().to_string(), "main"]).unwrap_err();

    assert!(format!("{push:#}").contains("does not appear to be a git repository"), "{push:#}");
    assert!(!repository.exists());
    assert_untouched(&server, &before);
}

#[test]
fn a_push_to_another_branch_deploys_nothing_and_names_the_deploy_branch() {
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    server.hello.set_version("0.9.0").unwrap();
    server.hello.commit("An experiment").unwrap();

    let run = server.push_refs(&["main:refs/heads/experiment"]).unwrap();

    assert_says(
        &run,
        &[
            "refs/heads/experiment is not the deploy branch of hello (main)",
            "nothing is deployed",
            "gatling load hello --branch experiment",
        ],
    );
    assert!(!run.text().contains("mix_"), "a step was begun:\n{}", run.text());
    assert_untouched(&server, &before);
}

#[test]
fn deleting_a_branch_does_not_affect_the_app() {
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    server.sandbox.git(&server.build_dir(), &["config", "receive.denyDeleteCurrent", "ignore"]).unwrap();
    server.push_refs(&["main:refs/heads/experiment"]).unwrap();

    for (branch, words) in [
        ("experiment", "refs/heads/experiment is not the deploy branch of hello (main)"),
        ("main", "the deploy branch main was deleted: the deployed release does not change"),
    ] {
        let run = server.push_refs(&["--delete", branch]).unwrap();
        assert_says(&run, &[words]);
        assert_untouched(&server, &before);
    }
    let run = server.gatling(&["upgrade", "hello"]).unwrap();

    assert_refused(&run, &["nothing was pushed to the branch main yet", "git push", "hello 0.1.0 is serving."]);
    assert_untouched(&server, &before);
}
