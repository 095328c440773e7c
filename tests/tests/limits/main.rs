//! Hooks that would block or exhaust the server. Each is ended by a limit.

mod asked;
mod by_hand;

use std::fs;
use std::time::{Duration, Instant};

use gatling_tests::places;
use gatling_tests::server::{Run, Server, Shared};

static SERVER: Shared = Shared::new();

const SETTINGS: &str = "[hooks]\ntimeout = \"2s\"\nmemory = \"64MiB\"\nlog_lines = 2000\n\n\
    [hooks.grants]\nrun = [\"sh\", \"yes\"]\n\n[health]\npath = \"/health\"\n";

/// Pushes a version whose hook does `what`, and asserts that it ends the run with `words` and that the old version
/// keeps serving.
#[track_caller]
fn assert_ended(server: &Server, what: &str, words: &str) -> Run {
    let hostile = fs::read(places::guest("hostile").unwrap()).unwrap();
    assert_hooks_end(server, &hostile, SETTINGS, what, &["the hook before_mix_deps_get of upgrade.wasm", words])
}

/// Pushes a version with these hooks and settings, and asserts that it ends the run with `words` before any step and
/// that the old version keeps serving.
#[track_caller]
fn assert_hooks_end(server: &Server, hooks: &[u8], settings: &str, what: &str, words: &[&str]) -> Run {
    assert_hooks_end_before(server, "$ mix deps.get", hooks, settings, what, words)
}

/// Like [`assert_hooks_end`], for a hook before the step with this command.
#[track_caller]
fn assert_hooks_end_before(
    server: &Server,
    command: &str,
    hooks: &[u8],
    settings: &str,
    what: &str,
    words: &[&str],
) -> Run {
    let before = server.serving().unwrap();
    server.hello.write("gatling.toml", settings).unwrap();
    server.hello.set_version(&format!("0.2.0-{what}")).unwrap();
    fs::write(server.hello.dir().join("upgrade.wasm"), hooks).unwrap();

    let begun = Instant::now();
    let run = server.push().unwrap().expect_code(1).unwrap();
    // The limit is two seconds. If it takes much longer, even on a busy machine, the limit did not end it.
    assert!(begun.elapsed() < Duration::from_secs(20), "{what}: it took {:?}", begun.elapsed());

    let text = run.text();
    for word in words {
        assert!(text.contains(word), "{what}: {word:?} is not in\n{text}");
    }
    assert!(!text.contains(command), "{what}: a step was begun after it");
    assert_eq!(server.serving().unwrap(), before, "{what}");
    run
}

#[test]
fn a_hook_that_never_ends_is_stopped_in_time() {
    let server = SERVER.lock();
    for what in ["loop", "sleep"] {
        assert_ended(&server, what, "time limit (2.0 s) exceeded");
    }
}

#[test]
fn the_programs_of_a_hook_end_with_it() {
    let server = SERVER.lock();
    assert_ended(&server, "program", "time limit (2.0 s) exceeded");
    let commands =
        fs::read_dir("/proc").unwrap().filter_map(|process| fs::read(process.ok()?.path().join("cmdline")).ok());
    let left = commands.filter(|command| command.starts_with(b"sleep\x0098765\0"));
    assert_eq!(left.count(), 0, "a child process of the hook's program is left running");
}

#[test]
fn a_hook_that_allocates_too_much_memory_is_ended() {
    let server = SERVER.lock();
    for what in ["memory", "huge"] {
        assert_ended(&server, what, "memory limit (64.0 MiB) exceeded");
    }
}

#[test]
fn a_hook_with_endless_recursion_is_ended() {
    assert_ended(&SERVER.lock(), "recursion", "call stack exhausted");
}

#[test]
fn a_hook_that_floods_the_log_in_any_way_is_ended() {
    let server = SERVER.lock();
    for what in ["log", "print", "chatter"] {
        assert_ended(&server, what, "log limit (2000 lines) exceeded");
    }
}

#[test]
fn the_lines_of_an_error_cannot_look_like_gatlings_own() {
    let run = assert_ended(&SERVER.lock(), "forge", "it returned an error: no");
    let lines = run.output.lines();
    for line in ["hello 9.9.9 is serving.", "debug: hidden"] {
        assert!(lines.contains(&&*format!("      {line}")) && !lines.contains(&&*format!("  {line}")), "{run:?}");
    }
}

#[test]
fn a_long_error_is_cut() {
    assert_ended(&SERVER.lock(), "error", "(truncated: 20000000 bytes in total)");
}
