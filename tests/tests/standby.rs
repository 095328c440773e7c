//! mix is asked about the project and goes on with the first step in one start, where nothing
//! comes between.

use std::fs;
use std::path::PathBuf;

use gatling_tests::server::{Server, Shared};
use gatling_tests::{places, processes};

static SERVER: Shared = Shared::new();

/// The file in which each start of mix notes its process id.
fn notes(server: &Server) -> PathBuf {
    server.sandbox.root().join("notes")
}

/// Makes a new version of which each start of mix is noted, and which asks something meanwhile.
fn prepare(server: &Server) {
    let hello = &server.hello;
    hello.set_version("0.2.0").unwrap();
    let note = format!("File.write!({:?}, \"#{{System.pid()}}\\n\", [:append])", notes(server));
    let ask = "IO.puts(\"input: #{inspect(IO.gets(\"well? \"))}, #{inspect(System.argv())}\")";
    hello.replace("mix.exs", "defmodule", &format!("{note}\n{ask}\ndefmodule")).unwrap();
}

/// Pushes, and returns how often mix was started.
fn starts(server: &Server) -> usize {
    _ = fs::remove_file(notes(server));
    server.push().unwrap().expect_code(0).unwrap();
    fs::read_to_string(notes(server)).unwrap().lines().count()
}

#[test]
fn mix_is_asked_and_fetches_in_one_start() {
    let server = SERVER.lock();
    prepare(&server);
    // That, to compile, to digest and to release.
    assert_eq!(starts(&server), 4);
    assert_eq!(server.serving().unwrap().answer.1, "hello 0.2.0\n");

    // A hook that has only looked makes no difference.
    server.hello.copy_hooks(&places::guest("recorder").unwrap(), "upgrade.wasm").unwrap();
    assert_eq!(starts(&server), 4);
}

#[test]
fn what_mix_does_is_told_as_what_it_is() {
    let server = SERVER.lock();
    prepare(&server);

    let run = server.push().unwrap().expect_code(0).unwrap();

    let lines = run.output.lines();
    let step = lines.iter().position(|line| *line == "mix_deps_get").unwrap();
    assert!(lines[..step].iter().any(|line| line.starts_with("gatling: hello 0.2.0")), "{run:?}");
    let said = ["    $ mix deps.get --only prod", "    All dependencies are up to date"];
    assert_eq!(lines[step + 1..step + 3], said, "{run:?}");
}

#[test]
fn mix_starts_anew_where_a_hook_has_done_something_before() {
    let server = SERVER.lock();
    prepare(&server);
    // It runs a program, which could have changed mix.exs.
    let runs_sh = places::workspace().join("tests/compatibility/1.0.0/c.wasm");
    server.hello.copy_hooks(&runs_sh, "upgrade.wasm").unwrap();
    server.hello.write("gatling.toml", "[hooks.grants]\nrun = [\"sh\"]\n[health]\npath = \"/health\"\n").unwrap();
    assert_eq!(starts(&server), 5);
}

#[test]
fn mix_starts_anew_where_fetching_means_more_to_the_project() {
    let server = SERVER.lock();
    prepare(&server);
    let alias = "\"deps.get\": [\"deps.get\", fn _ -> IO.puts(\"and more\") end], \"assets.deploy\":";
    server.hello.replace("mix.exs", "\"assets.deploy\":", alias).unwrap();
    assert_eq!(starts(&server), 5);
}

#[test]
fn whoever_asks_for_something_while_mix_is_asked_gets_no_answer() {
    let server = SERVER.lock();
    prepare(&server);
    server.hello.replace("mix.exs", "defmodule", "raise(\"enough\")\ndefmodule").unwrap();

    let run = server.push().unwrap().expect_code(1).unwrap();

    // What mix.exs sees of the command line is what it would see without Gatling.
    let said = "well? input: :eof, [\"deps.get\", \"--only\", \"prod\"]";
    assert!(run.text().contains(said) && run.text().contains("enough"), "{run:?}");
    let plan = server.gatling(&["plan", "hello"]).unwrap().expect_code(1).unwrap();
    assert!(plan.text().contains("well? input: :eof, []"), "{plan:?}");

    // As on a server without Hex.
    server.hello.set_version("0.2.1").unwrap();
    server.hello.replace("mix.exs", "raise(\"enough\")\n", "").unwrap();
    server.hello.replace("mix.exs", "deps: []", "deps: [{:jason, \"~> 1.4\"}]").unwrap();
    let mut push = server.hello.push_command(&["+main"]);
    server.hello.commit("A package of Hex").unwrap();
    let run = server.push_with(push.env("MIX_HOME", server.sandbox.root().join("no-hex"))).unwrap();
    let run = run.expect_code(1).unwrap();
    assert!(run.text().contains("Hex") || run.text().contains("jason"), "{run:?}");
}

#[test]
fn a_run_that_is_refused_has_fetched_nothing_and_leaves_no_mix_behind() {
    let server = SERVER.lock();
    let before = server.serving().unwrap();
    prepare(&server);
    _ = fs::remove_file(notes(&server));
    server.hello.write("domains", "").unwrap();

    let run = server.push().unwrap().expect_code(1).unwrap();

    assert!(run.text().contains("the project has no host name in its file `domains`"), "{run:?}");
    let notes = fs::read_to_string(notes(&server)).unwrap();
    assert_eq!(notes.lines().count(), 1, "it was only asked: {notes}");
    let left = processes::of(&server.build_dir());
    assert!(left.is_empty(), "{left:?} go on");
    assert_eq!(server.serving().unwrap(), before);
}

#[test]
fn fetching_that_fails_is_told_as_the_command_that_it_is() {
    let server = SERVER.lock();
    server.hello.set_version("0.2.0").unwrap();
    server.hello.replace("mix.exs", "deps: []", "deps: [{:nowhere, git: \"nowhere\"}]").unwrap();

    let run = server.push().unwrap().expect_code(1).unwrap();

    for said in ["the step mix_deps_get", "`mix deps.get --only prod` exited with status 1", "nowhere"] {
        assert!(run.text().contains(said), "{said}: {run:?}");
    }
}
