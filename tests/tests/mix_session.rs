//! One process runs all mix tasks of a run, each as if mix had been started for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use gatling_tests::server::{Run, Server, Shared};
use gatling_tests::{places, processes};

static SERVER: Shared = Shared::new();

/// A gatling.toml that turns off the session.
const PLAIN: &str = "[mix]\nsession = false\n[health]\npath = \"/health\"\n";

/// The file to which mix.exs appends the id of its process each time it is read.
fn notes(server: &Server) -> PathBuf {
    server.sandbox.root().join("notes")
}

/// Makes a new version that records each mix process.
fn prepare(server: &Server) {
    let hello = &server.hello;
    hello.set_version("0.2.0").unwrap();
    let note = format!("File.write!({:?}, \"#{{System.pid()}}\\n\", [:append])", notes(server));
    let ask = "IO.puts(\"input: #{inspect(IO.gets(\"well? \"))}, #{inspect(System.argv())}\")";
    hello.replace("mix.exs", "defmodule", &format!("{note}\n{ask}\ndefmodule")).unwrap();
}

/// Makes `mix assets.deploy` run this code before it digests.
fn before_digest(server: &Server, code: &str) {
    let alias = format!("\"assets.deploy\": [fn _ -> {code} end, ");
    server.hello.replace("mix.exs", "\"assets.deploy\": [", &alias).unwrap();
}

/// Pushes, and returns how many mix processes there were.
fn starts(server: &Server) -> usize {
    push(server).1
}

/// Pushes a version that can be deployed, and returns the output and how many mix processes there were.
fn push(server: &Server) -> (Run, usize) {
    _ = fs::remove_file(notes(server));
    // The original release of all tests is kept if it is the previous one.
    if !fs::read_link(server.deploy_dir().join("current")).unwrap().ends_with("0.1.0") {
        server.script(&["upgrade", "0.1.0"]).unwrap().expect_code(0).unwrap();
    }
    let run = server.push().unwrap().expect_code(0).unwrap();
    let notes = fs::read_to_string(notes(server)).unwrap();
    (run, notes.lines().collect::<BTreeSet<_>>().len())
}

/// The lines that are shown below `$ COMMAND`, up to the next step or command.
fn shown_below(run: &Run, command: &str) -> Vec<String> {
    let lines = run.output.lines();
    let mut lines = lines.iter().skip_while(|line| line.trim() != format!("$ {command}"));
    assert!(lines.next().is_some(), "{command}: {run:?}");
    let is_output = |line: &&&str| line.is_empty() || (line.starts_with("    ") && !line.contains("$ "));
    lines.take_while(is_output).map(|line| line.trim_start().to_owned()).collect()
}

#[test]
fn mix_is_started_once_for_the_whole_run() {
    let server = SERVER.lock();
    prepare(&server);
    assert_eq!(starts(&server), 1);
    assert_eq!(server.serving().unwrap().answer.1, "hello 0.2.0\n");

    // A hook that only reads makes no difference.
    server.hello.copy_hooks(&places::guest("recorder").unwrap(), "upgrade.wasm").unwrap();
    assert_eq!(starts(&server), 1);
}

#[test]
fn without_a_session_each_step_starts_mix() {
    let server = SERVER.lock();
    prepare(&server);
    server.hello.write("gatling.toml", PLAIN).unwrap();
    // For the facts, deps.get, compile, digest and release.
    assert_eq!(starts(&server), 5);
    assert_eq!(server.serving().unwrap().answer.1, "hello 0.2.0\n");
}

#[test]
fn each_task_has_the_same_output_as_a_new_mix() {
    let server = SERVER.lock();
    prepare(&server);
    // Incomplete lines on both outputs, an empty line, and some lines without a pause.
    let more =
        "IO.write(:stderr, \"left open\"); IO.puts(\"\\n\\nafter\"); Enum.each(1..2000, &IO.puts/1); IO.write(\"end\")";
    before_digest(&server, more);
    let commands = ["mix deps.get --only prod", "mix compile", "mix assets.deploy", "mix release --overwrite --quiet"];

    _ = fs::remove_dir_all(server.build_dir().join("_build"));
    let (session, starts) = push(&server);
    assert_eq!(starts, 1);
    _ = fs::remove_dir_all(server.build_dir().join("_build"));
    server.hello.write("gatling.toml", PLAIN).unwrap();
    let (plain, starts) = push(&server);
    assert_eq!(starts, 5);

    for command in commands {
        let shown = shown_below(&session, command);
        assert_eq!(shown, shown_below(&plain, command), "{command}");
        let argv: Vec<_> = command.split(' ').skip(1).collect();
        assert_eq!(shown[0], format!("well? input: :eof, {argv:?}"));
    }
    let shown = shown_below(&session, "mix assets.deploy");
    assert!(shown.len() > 2000 && shown.contains(&"left open".to_owned()), "{shown:?}");
    assert!(!session.text().contains("gatling-mix-"), "{session:?}");
}

#[test]
fn a_session_builds_the_same_release_as_separate_mix_processes() {
    let server = SERVER.lock();
    prepare(&server);
    // The next task compiles the file that this task writes.
    before_digest(
        &server,
        "File.write!(\"lib/generated.ex\", \"defmodule Hello.Generated, do: (def text, do: :new)\")",
    );
    let mut trees = Vec::new();
    for settings in [None, Some(PLAIN)] {
        _ = fs::remove_dir_all(server.build_dir().join("_build"));
        settings.inspect(|text| server.hello.write("gatling.toml", text).unwrap());
        push(&server);
        let release = fs::canonicalize(server.deploy_dir().join("current")).unwrap();
        trees.push(tree(&release.join("hello")));
    }

    let [session, plain] = trees.try_into().unwrap();
    let names = |tree: &BTreeMap<PathBuf, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&session), names(&plain));
    let differs = |path: &&PathBuf| session[*path] != plain[*path];
    assert_eq!(session.keys().filter(differs).collect::<Vec<_>>(), Vec::<&PathBuf>::new());
    assert!(session.keys().any(|path| path.ends_with("Elixir.Hello.Generated.beam")), "{:?}", names(&session));
}

/// All files of a release with their content, except random ones.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name() != "COOKIE" {
                let content = fs::read(entry.path()).unwrap_or_default();
                files.insert(entry.path().strip_prefix(folder).unwrap().to_owned(), content);
            }
        }
    }
    files
}

#[test]
fn changes_that_a_task_makes_to_its_process_are_reset_for_the_next_task() {
    let server = SERVER.lock();
    prepare(&server);
    server.hello.replace("mix.exs", "defmodule", "IO.puts(\"#{File.cwd!() |> Path.basename()}#{System.get_env(\"LEFT\")}#{Application.get_env(:hello, :left)}#{Mix.env()}\")\ndefmodule").unwrap();
    let change = "File.cd!(\"/\"); System.put_env(\"LEFT\", \"left\"); Application.put_env(:hello, :left, :left, persistent: true); Mix.env(:dev); Code.put_compiler_option(:ignore_module_conflict, true); File.cd!(System.get_env(\"PWD\", \".\"))";
    before_digest(&server, change);

    let (run, starts) = push(&server);

    assert_eq!(starts, 1);
    for command in ["mix assets.deploy", "mix release --overwrite --quiet"] {
        let shown = shown_below(&run, command);
        assert!(shown.contains(&"helloprod".to_owned()), "{shown:?}");
    }
}

#[test]
fn changes_that_cannot_be_reset_end_the_process_but_not_the_run() {
    let server = SERVER.lock();
    prepare(&server);
    // A new mix would not have this running process.
    before_digest(&server, "spawn(fn -> Process.sleep(:infinity) end)");
    assert_eq!(starts(&server), 2);
}

#[test]
fn a_task_that_ends_its_process_has_the_exit_status_of_the_process() {
    let server = SERVER.lock();
    let before = server.serving().unwrap();
    let original = server.hello.read("mix.exs").unwrap();
    for (code, status, said) in [
        ("System.halt(3)", 3, "before"),
        ("exit({:shutdown, 4})", 4, "before"),
        ("raise(\"enough\")", 1, "** (RuntimeError) enough"),
        ("Mix.raise(\"enough\")", 1, "** (Mix) enough"),
        ("System.at_exit(fn _ -> exit({:shutdown, 5}) end)", 5, "before"),
    ] {
        server.hello.write("mix.exs", &original).unwrap();
        server.hello.set_version("0.2.0").unwrap();
        before_digest(&server, &format!("IO.puts(\"before\"); {code}"));

        let run = server.push().unwrap().expect_code(1).unwrap();

        let failed = format!("`mix assets.deploy` exited with status {status} (in ");
        assert!(run.text().contains(&failed) && run.text().contains(said), "{code}: {run:?}");
        assert!(shown_below(&run, "mix assets.deploy").contains(&"before".to_owned()), "{code}: {run:?}");
        assert_no_processes_left(&server);
    }
    assert_eq!(server.serving().unwrap(), before);

    // If the process exits with 0, the task has succeeded. The next task gets a new process.
    server.hello.write("mix.exs", &original).unwrap();
    prepare(&server);
    server.hello.replace("mix.exs", "[\"hello.digest\"]", "[\"hello.digest\", fn _ -> System.halt(0) end]").unwrap();
    assert_eq!(starts(&server), 2);
}

/// Asserts that no process of the build dir is left. Child processes of mix end a moment after it.
fn assert_no_processes_left(server: &Server) {
    let begun = Instant::now();
    while !processes::of(&server.build_dir()).is_empty() {
        let left = processes::of(&server.build_dir());
        let arguments: Vec<_> = left.iter().map(|pid| processes::arguments(*pid)).collect();
        assert!(begun.elapsed() < Duration::from_secs(10), "{arguments:?} go on");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn processes_that_a_task_leaves_running_do_not_block_the_run() {
    let server = SERVER.lock();
    prepare(&server);
    let left = format!("(while sleep 0.01; do echo tick >&2; : {}; done) >/dev/null &", server.build_dir().display());
    before_digest(&server, &format!("System.cmd(\"sh\", [\"-c\", {left:?}])"));
    let begun = Instant::now();

    push(&server);

    assert!(begun.elapsed() < Duration::from_secs(60));
    // As with a plain mix, a daemonized process is not ended.
    processes::end(&server.build_dir());
}

#[test]
fn mix_is_restarted_after_a_hook_that_acted() {
    let server = SERVER.lock();
    prepare(&server);
    // It runs a program, which could have changed any file.
    let runs_sh = places::workspace().join("tests/compatibility/1.0.0/c.wasm");
    server.hello.copy_hooks(&runs_sh, "upgrade.wasm").unwrap();
    server.hello.write("gatling.toml", "[hooks.grants]\nrun = [\"sh\"]\n[health]\npath = \"/health\"\n").unwrap();
    assert!(starts(&server) > 1);
}

#[test]
fn mix_is_restarted_after_the_config_changed() {
    let server = SERVER.lock();
    prepare(&server);
    server.hello.write("config/config.exs", "import Config\n").unwrap();
    server.hello.write("config/later.exs", "import Config\nIO.puts(\"the later config\")\n").unwrap();
    before_digest(&server, "File.rename!(\"config/later.exs\", \"config/config.exs\")");

    let (run, starts) = push(&server);

    assert_eq!(starts, 2);
    assert!(!shown_below(&run, "mix compile").contains(&"the later config".to_owned()), "{run:?}");
    let shown = shown_below(&run, "mix release --overwrite --quiet");
    assert!(shown.contains(&"the later config".to_owned()), "{run:?}");
}

#[test]
fn an_alias_can_replace_a_mix_task() {
    let server = SERVER.lock();
    prepare(&server);
    let alias = "\"deps.get\": [\"deps.get\", fn _ -> IO.puts(\"and more\") end], \"assets.deploy\":";
    server.hello.replace("mix.exs", "\"assets.deploy\":", alias).unwrap();

    let (run, starts) = push(&server);

    assert_eq!(starts, 1);
    let shown = shown_below(&run, "mix deps.get --only prod");
    assert!(shown.ends_with(&["and more".to_owned()]), "{run:?}");
}

#[test]
fn fetched_dependencies_are_compiled_by_a_new_process() {
    let server = SERVER.lock();
    prepare(&server);
    let hello = &server.hello;
    let origin = server.sandbox.root().join("extra");
    for (file, text) in [
        (
            "mix.exs",
            "defmodule Extra.MixProject do\n  use Mix.Project\n  def project, do: [app: :extra, version: \"0.1.0\"]\nend\n",
        ),
        (
            "lib/mix/tasks/extra.ex",
            "defmodule Mix.Tasks.Extra do\n  use Mix.Task\n  def run(_), do: IO.puts(\"the first\")\nend\n",
        ),
    ] {
        let path = origin.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let git = |args: &[&str]| server.sandbox.git(&origin, args).unwrap().expect_success().unwrap();
    git(&["init", "--quiet", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "The first"]);
    let url = origin.display().to_string();
    let dependency = format!("deps: [{{:extra, git: {url:?}, branch: \"main\"}}]");
    hello.replace("mix.exs", "deps: []", &dependency).unwrap();
    hello.replace("mix.exs", "\"assets.deploy\": [", "\"assets.deploy\": [\"extra\", ").unwrap();
    // Like the output of `mix deps.update`.
    let lock = || {
        let head = git(&["rev-parse", "HEAD"]).lines()[0].to_owned();
        let lock = format!("%{{\n  \"extra\": {{:git, {url:?}, {head:?}, [branch: \"main\"]}},\n}}\n");
        hello.write("mix.lock", &lock).unwrap();
    };
    lock();

    let (run, starts) = push(&server);
    assert_eq!(starts, 2);
    assert!(shown_below(&run, "mix assets.deploy").contains(&"the first".to_owned()), "{run:?}");

    // Now nothing needs to be fetched.
    hello.set_version("0.2.1").unwrap();
    let (run, starts) = push(&server);
    assert_eq!(starts, 1);
    assert!(shown_below(&run, "mix assets.deploy").contains(&"the first".to_owned()), "{run:?}");

    // Another version of a task that the process has already loaded.
    let path = origin.join("lib/mix/tasks/extra.ex");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("the first", "the second")).unwrap();
    git(&["commit", "--quiet", "-am", "The second"]);
    lock();
    hello.set_version("0.2.2").unwrap();
    let (run, starts) = push(&server);
    assert_eq!(starts, 2);
    assert!(shown_below(&run, "mix assets.deploy").contains(&"the second".to_owned()), "{run:?}");
}

#[test]
fn a_task_that_reads_standard_input_gets_no_answer() {
    let server = SERVER.lock();
    prepare(&server);
    server.hello.replace("mix.exs", "defmodule", "raise(\"enough\")\ndefmodule").unwrap();

    let run = server.push().unwrap().expect_code(1).unwrap();

    // mix.exs sees the same command line as without Gatling.
    let said = "well? input: :eof, []";
    assert!(run.text().contains(said) && run.text().contains("enough"), "{run:?}");
    let plan = server.gatling(&["plan", "hello"]).unwrap().expect_code(1).unwrap();
    assert!(plan.text().contains(said), "{plan:?}");

    // Like a server without Hex.
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
fn a_refused_run_fetches_nothing_and_leaves_no_mix_process() {
    let server = SERVER.lock();
    let before = server.serving().unwrap();
    prepare(&server);
    _ = fs::remove_file(notes(&server));
    server.hello.write("domains", "").unwrap();

    let run = server.push().unwrap().expect_code(1).unwrap();

    assert!(run.text().contains("the project has no host name in its file `domains`"), "{run:?}");
    let notes = fs::read_to_string(notes(&server)).unwrap();
    assert_eq!(notes.lines().count(), 1, "mix was only started for the facts: {notes}");
    assert_no_processes_left(&server);
    assert_eq!(server.serving().unwrap(), before);
}

#[test]
fn a_failed_fetch_is_reported_with_its_mix_command() {
    let server = SERVER.lock();
    server.hello.set_version("0.2.0").unwrap();
    server.hello.replace("mix.exs", "deps: []", "deps: [{:nowhere, git: \"nowhere\"}]").unwrap();

    let run = server.push().unwrap().expect_code(1).unwrap();

    for said in ["the step mix_deps_get", "`mix deps.get --only prod` exited with status 1", "nowhere"] {
        assert!(run.text().contains(said), "{said}: {run:?}");
    }
}
