//! Pushes of something else than the deploy branch, and to nowhere.

use crate::{EARLY, assert_refused, assert_says, assert_untouched};

#[test]
fn a_project_that_was_never_loaded_is_refused_and_told_how_to_load_it() {
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
fn a_push_to_another_branch_deploys_nothing_and_says_which_branch_does() {
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    server.hello.set_version("0.9.0").unwrap();
    server.hello.commit("An experiment").unwrap();

    let run = server.push_refs(&["main:refs/heads/experiment"]).unwrap();

    assert_says(
        &run,
        &[
            "refs/heads/experiment is not the deploy branch of hello, which is main",
            "nothing is deployed",
            "gatling load hello --branch experiment",
        ],
    );
    assert!(!run.text().contains("mix_"), "a step was begun:\n{}", run.text());
    assert_untouched(&server, &before);
}

#[test]
fn a_deleted_branch_stops_nothing() {
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    server.sandbox.git(&server.build_dir(), &["config", "receive.denyDeleteCurrent", "ignore"]).unwrap();
    server.push_refs(&["main:refs/heads/experiment"]).unwrap();

    for (branch, words) in [
        ("experiment", "refs/heads/experiment is not the deploy branch of hello, which is main"),
        ("main", "the deploy branch main was deleted: what is deployed stays as it is"),
    ] {
        let run = server.push_refs(&["--delete", branch]).unwrap();
        assert_says(&run, &[words]);
        assert_untouched(&server, &before);
    }
    let run = server.gatling(&["upgrade", "hello"]).unwrap();

    assert_refused(&run, &["nothing was pushed to the branch main yet", "git push", "hello 0.1.0 is serving."]);
    assert_untouched(&server, &before);
}
