//! Mistakes of users: each ends with a message that says what to do and with an exit code for failure, and the app
//! keeps serving.

mod damaged;
mod hooks_file;
mod project;
mod refs;
mod server;
mod steps;

use gatling_tests::server::{Run, Server, Serving, Shared};

/// The server for pushes that are refused before the first step.
static EARLY: Shared = Shared::new();

/// Asserts that a run failed before its first step, with all of `words` in its output.
#[track_caller]
fn assert_refused(run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "the exit code; it said:\n{}", run.text());
    assert_says(run, words);
    assert!(!run.text().contains("\nmix_deps_get"), "a step was begun:\n{}", run.text());
}

/// Asserts that the output contains all of `words`.
#[track_caller]
fn assert_says(run: &Run, words: &[&str]) {
    for word in words {
        assert!(run.text().contains(word), "{word:?} is not in:\n{}", run.text());
    }
}

/// Asserts that the app was not even restarted.
#[track_caller]
fn assert_untouched(server: &Server, before: &Serving) {
    assert_eq!(&server.serving().unwrap(), before);
}

/// Changes the project, pushes it, and asserts that it is refused with `words`.
#[track_caller]
fn assert_push_refused(change: impl FnOnce(&Server), words: &[&str]) {
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    change(&server);

    let run = server.push().unwrap();

    assert_refused(&run, words);
    assert_says(&run, &["hello 0.1.0 is serving.", "push again"]);
    assert_untouched(&server, &before);
}
