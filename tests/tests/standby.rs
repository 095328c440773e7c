//! mix is asked about the project and goes on with the first step in one start, where nothing
//! comes between.

use std::fs;
use std::path::PathBuf;

use gatling_tests::server::{Server, Shared};
use gatling_tests::{places, processes};

static SERVER: Shared = Shared::new();

/// The file in which each start of mix notes its process id, and that it fetches dependencies.
fn notes(server: &Server) -> PathBuf {
    server.sandbox.root().join("notes")
}

/// Makes a new version which notes that.
fn prepare(server: &Server) {
    let notes = notes(server);
    _ = fs::remove_file(&notes);
    let hello = &server.hello;
    hello.set_version("0.2.0").unwrap();
    let alias = "\"deps.get\": [&fetch/1, \"deps.get\"], \"assets.deploy\":";
    hello.replace("mix.exs", "\"assets.deploy\":", alias).unwrap();
    let note = |text: &str| format!("File.write!({notes:?}, \"{text} #{{System.pid()}}\\n\", [:append])");
    hello.replace("mix.exs", "defmodule", &format!("{}\ndefmodule", note("start"))).unwrap();
    let fetch = format!(
        "\n\n  defp fetch(_args) do\n    {}\n    IO.puts(\"input: #{{inspect(IO.gets(\"\"))}}\")\n  end\nend\n",
        note("fetch")
    );
    hello.replace("mix.exs", "\nend\n", &fetch).unwrap();
}

/// What was noted: how often mix had started before it fetched, and whether the latest of these
/// starts is the one that fetches.
fn noted(server: &Server) -> (usize, bool) {
    let notes = fs::read_to_string(notes(server)).unwrap();
    let notes: Vec<_> = notes.lines().filter_map(|note| note.split_once(' ')).collect();
    let fetch = notes.iter().position(|(what, _)| *what == "fetch").unwrap_or_else(|| panic!("{notes:?}"));
    (fetch, notes[fetch - 1].1 == notes[fetch].1)
}

#[test]
fn mix_is_asked_and_fetches_in_one_start() {
    let server = SERVER.lock();
    prepare(&server);

    let run = server.push().unwrap().expect_code(0).unwrap();

    assert_eq!(noted(&server), (1, true));
    let lines = run.output.lines();
    let step = lines.iter().position(|line| *line == "mix_deps_get").unwrap();
    assert!(lines[..step].iter().any(|line| line.starts_with("gatling: hello 0.2.0")), "{run:?}");
    // As from any other command, there is nothing to be read.
    let said = ["    $ mix deps.get --only prod", "    input: :eof", "    All dependencies are up to date"];
    assert_eq!(lines[step + 1..step + 4], said, "{run:?}");
    assert_eq!(server.serving().unwrap().answer.1, "hello 0.2.0\n");
}

#[test]
fn mix_starts_anew_where_a_hook_has_done_something_before() {
    let server = SERVER.lock();
    prepare(&server);
    server.hello.copy_hooks(&places::guest("recorder").unwrap(), "upgrade.wasm").unwrap();
    let run = server.push().unwrap().expect_code(0).unwrap();
    assert!(run.text().contains("\nbefore_mix_deps_get "), "{run:?}");
    assert_eq!(noted(&server), (1, true), "this one has only looked");

    // This one runs a program then, which could have changed mix.exs.
    fs::remove_file(notes(&server)).unwrap();
    let runs_sh = places::workspace().join("tests/compatibility/1.0.0/c.wasm");
    server.hello.copy_hooks(&runs_sh, "upgrade.wasm").unwrap();
    server.hello.write("gatling.toml", "[hooks.grants]\nrun = [\"sh\"]\n[health]\npath = \"/health\"\n").unwrap();
    server.push().unwrap().expect_code(0).unwrap();
    assert_eq!(noted(&server), (2, true));
}

#[test]
fn a_run_that_is_refused_has_fetched_nothing_and_leaves_no_mix_behind() {
    let server = SERVER.lock();
    let before = server.serving().unwrap();
    prepare(&server);
    server.hello.write("domains", "").unwrap();

    let run = server.push().unwrap().expect_code(1).unwrap();

    assert!(run.text().contains("the project has no host name in its file `domains`"), "{run:?}");
    let notes = fs::read_to_string(notes(&server)).unwrap();
    assert_eq!(notes.lines().count(), 1, "it only asked: {notes}");
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
