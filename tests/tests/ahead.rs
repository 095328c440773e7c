//! What an upgrade begins ahead of its turn: dependencies are fetched while mix is asked about
//! the project.

use std::fs;
use std::path::PathBuf;

use gatling_tests::server::{Server, Shared};
use gatling_tests::{places, processes};

static SERVER: Shared = Shared::new();

/// The file that tells that fetching has begun.
fn begun(server: &Server) -> PathBuf {
    server.sandbox.root().join("fetching")
}

/// Has the project note when its dependencies are fetched, and then do `what`. What stands in
/// mix.exs is told to nobody before, if `waits`; it gives up after a while.
fn prepare(server: &Server, what: &str, waits: bool) {
    let begun = begun(server);
    _ = fs::remove_file(&begun);
    let hello = &server.hello;
    hello.set_version("0.2.0").unwrap();
    hello
        .replace("mix.exs", "\"assets.deploy\":", "\"deps.get\": [&fetch/1, \"deps.get\"], \"assets.deploy\":")
        .unwrap();
    let fetch = format!("\n\n  defp fetch(_args) do\n    File.write!({begun:?}, \"\")\n    {what}\n  end\nend\n");
    hello.replace("mix.exs", "\nend\n", &fetch).unwrap();
    if waits {
        // Gatling asks without any arguments.
        let wait = format!(
            "  def project do
    if System.argv() == [] and is_nil(Enum.find(1..500, fn _ -> File.exists?({begun:?}) or Process.sleep(20) != :ok end)) do
      raise \"nothing was fetched meanwhile\"
    end

"
        );
        hello.replace("mix.exs", "  def project do\n", &wait).unwrap();
    }
}

#[test]
fn dependencies_are_fetched_while_mix_is_asked_about_the_project() {
    let server = SERVER.lock();
    prepare(&server, "IO.puts(\"fetched\")", true);

    let run = server.push().unwrap().expect_code(0).unwrap();

    let lines = run.output.lines();
    let place = |line: &str| lines.iter().position(|said| *said == line).unwrap_or_else(|| panic!("{line}: {run:?}"));
    let headline = lines.iter().position(|line| line.starts_with("gatling: hello 0.2.0")).unwrap();
    let step = place("mix_deps_get");
    assert!(headline < step, "{run:?}");
    assert_eq!(lines[step + 1..step + 3], ["    $ mix deps.get --only prod", "    fetched"], "{run:?}");
    assert_eq!(server.serving().unwrap().answer.1, "hello 0.2.0\n");
}

#[test]
fn nothing_is_fetched_before_a_hook_that_comes_first() {
    let server = SERVER.lock();
    prepare(&server, "IO.puts(\"fetched\")", false);
    server.hello.copy_hooks(&places::guest("hostile").unwrap(), "upgrade.wasm").unwrap();

    let run = server.push().unwrap().expect_code(1).unwrap();

    assert!(run.text().contains("the hook before_mix_deps_get of upgrade.wasm"), "{run:?}");
    assert!(!begun(&server).exists(), "{run:?}");
}

#[test]
fn what_was_begun_ahead_ends_with_a_run_that_is_refused() {
    let server = SERVER.lock();
    let before = server.serving().unwrap();
    prepare(&server, "System.cmd(\"sleep\", [\"98764\"])", true);
    server.hello.write("domains", "").unwrap();

    let run = server.push().unwrap().expect_code(1).unwrap();

    assert!(run.text().contains("the project has no host name in its file `domains`"), "{run:?}");
    assert!(begun(&server).exists() && !run.text().contains("mix_deps_get"), "{run:?}");
    let left = processes::of(&server.build_dir());
    assert!(left.is_empty(), "{left:?} go on");
    assert_eq!(server.serving().unwrap(), before);
}
