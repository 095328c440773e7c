//! What people get wrong: each ends in a message that says what to do, in an exit code that says
//! that it failed, and the app that was serving goes on serving.

mod damaged;
mod hooks_file;
mod project;
mod refs;
mod server;
mod steps;

use gatling_tests::server::{Run, Server, Serving, Shared};

/// The server for what is refused before the first step.
static EARLY: Shared = Shared::new();

/// That a run said all of `words`, failed, and that nothing was built or touched for it.
#[track_caller]
fn assert_refused(run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "the exit code; it said:\n{}", run.text());
    assert_says(run, words);
    assert!(!run.text().contains("\nmix_deps_get"), "a step was begun:\n{}", run.text());
}

/// That a run said all of `words`.
#[track_caller]
fn assert_says(run: &Run, words: &[&str]) {
    for word in words {
        assert!(run.text().contains(word), "{word:?} is not in:\n{}", run.text());
    }
}

/// That the app wasn't even restarted.
#[track_caller]
fn assert_untouched(server: &Server, before: &Serving) {
    assert_eq!(&server.serving().unwrap(), before);
}

/// Pushes what `change` makes of the project; it is to be refused with `words`.
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
