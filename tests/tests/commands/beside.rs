//! `gatling console`, `run` and `logs`: what people do beside the app that serves.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use gatling_tests::server::Shared;
use gatling_tests::{Output, Sandbox, http};

use crate::{run, said};

static SERVER: Shared = Shared::new();

/// What a command that is given a terminal writes there. Once the terminal shows `prompt`, `input` is
/// typed, and once it shows `last`, Ctrl-\, which ends a console.
fn at_terminal(sandbox: &Sandbox, term: &str, command: &str, [prompt, input, last]: [&str; 3]) -> String {
    let typing = "await() { tries=0\n\
                  until grep -qF \"$1\" seen || [ $tries = 300 ]; do sleep 0.1; tries=$((tries + 1)); done; }\n\
                  if [ -n \"$PROMPT\" ]; then await \"$PROMPT\"; fi\n\
                  printf '%s' \"$INPUT\"; await \"$LAST\"; printf '\\034'; sleep 1";
    let shell = format!(": >seen\n{{ {typing}; }} | script -qec \"$COMMAND\" /dev/null >seen");
    let mut command_line = sandbox.command("sh", sandbox.root());
    command_line.args(["-c", &shell]).env("TERM", term);
    command_line.env("COMMAND", command).env("PROMPT", prompt).env("INPUT", input).env("LAST", last);
    Output::of(&mut command_line).unwrap();
    fs::read_to_string(sandbox.root().join("seen")).unwrap()
}

#[test]
fn run_gives_a_command_the_folder_and_the_variables_of_the_release_and_returns_its_status() {
    let server = SERVER.lock();
    let port = server.gatling(&["status", "hello", "--json"]).unwrap().output.stdout;
    let port = serde_json::from_str::<serde_json::Value>(&port).unwrap()["port"].to_string();
    let release = server.deploy_dir().join("releases/0.1.0/hello");

    let script =
        "pwd; command -v hello; echo \"$PORT $RELEASE_NODE $RELEASE_DISTRIBUTION ${PHX_SERVER-unset}\"; exit 7";
    let shown = server.gatling(&["run", "hello", "--", "sh", "-c", script]).unwrap();

    let release = release.display();
    let expected = format!("{release}\n{release}/bin/hello\n{port} hello@127.0.0.1 none unset\n");
    assert_eq!((shown.code, shown.output.stdout), (Some(7), expected));
}

#[test]
fn run_finds_the_programs_of_the_release_by_name_and_by_path() {
    let server = SERVER.lock();
    for program in ["hello", "bin/hello"] {
        let args = ["run", "hello", "--", program, "eval", "IO.puts(6 * 7)"];
        let shown = server.gatling(&args).unwrap();
        assert_eq!((shown.code, shown.output.stdout.as_str()), (Some(0), "42\n"), "{}", shown.output.stderr);
    }
    let args = ["run", "hello", "--", "no-such-program"];
    said(server.gatling(&args).unwrap(), &args, 1, &["the program no-such-program is not on the PATH"]);
}

#[test]
fn run_hands_its_terminal_and_its_input_to_the_command() {
    let server = SERVER.lock();
    let command = "gatling run hello -- sh -c 'read -r line && tty -s && echo \"[$line]\"'";
    let shown = at_terminal(server.sandbox, "dumb", command, ["", "typed\n", "[typed]"]);
    assert!(shown.contains("[typed]"), "{shown}");
}

#[test]
fn a_project_that_is_not_deployed_has_no_console_and_no_log() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &[]);

    run(&sandbox, &["run", "hello", "--", "true"], 1, &["hello is not deployed yet", "gatling deploy hello"]);
    run(&sandbox, &["console", "hello"], 1, &["hello is not deployed yet", "gatling deploy hello"]);
    run(&sandbox, &["logs", "hello"], 1, &["hello has not written a log yet", "hello.log"]);
    run(&sandbox, &["run", "helo", "--", "true"], 2, &["Did you mean hello?"]);
}

#[test]
fn the_console_says_which_line_keeps_it_from_reaching_the_app() {
    let server = SERVER.lock();
    let args = ["console", "hello"];
    let words = ["RELEASE_DISTRIBUTION=none", "gatling config unset hello RELEASE_DISTRIBUTION"];
    said(server.gatling(&args).unwrap(), &args, 1, &words);
}

#[test]
fn the_console_is_in_the_running_node_and_says_how_to_start_one_that_is_stopped() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    run(&sandbox, &["config", "unset", "hello", "RELEASE_DISTRIBUTION"], 0, &[]);
    // An epmd of its own, which ends with the sandbox.
    let epmd = format!("ERL_EPMD_PORT={}", http::free_port().unwrap());
    run(&sandbox, &["config", "set", "hello", &epmd], 0, &[]);
    hello.deploy().unwrap();

    let answer = run(&sandbox, &["run", "hello", "--", "hello", "rpc", "IO.puts(node())"], 0, &[]);
    assert_eq!(answer, "hello@127.0.0.1");
    for term in ["xterm", "a-terminal-that-no-server-knows"] {
        let typed = "IO.puts([\"in \", to_string(node())])\n";
        let shown = at_terminal(&sandbox, term, "gatling console hello", ["iex(", typed, "in hello@127.0.0.1"]);
        assert!(shown.contains("in hello@127.0.0.1"), "{shown}");
    }
    let shown = at_terminal(&sandbox, "dumb", "gatling console hello", ["", "", "terminal"]);
    assert!(shown.contains("the console needs a terminal") && !shown.contains("iex("), "{shown}");
    run(&sandbox, &["console", "hello"], 1, &["the console needs a terminal", "ssh -t", "hello rpc"]);

    let script = sandbox.etc().join("hello");
    Output::of(sandbox.command(&script, sandbox.root()).arg("stop")).unwrap().expect_success().unwrap();
    let start = format!("{} start", script.display());
    run(&sandbox, &["console", "hello"], 1, &["hello is not running", "stopped", &start]);
}

/// A project with a log of these lines.
fn with_log(text: &[u8]) -> (Sandbox, std::path::PathBuf) {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &[]);
    let folder = sandbox.home().join("deployments/hello/log");
    fs::create_dir(&folder).unwrap();
    let log = folder.join("hello.log");
    fs::write(&log, text).unwrap();
    (sandbox, log)
}

#[test]
fn the_log_ends_with_as_many_lines_as_were_asked_for() {
    let lines: Vec<_> = (1..=150).map(|number| format!("line {number}")).collect();
    let (sandbox, _) = with_log((lines.join("\n") + "\n").as_bytes());
    for (args, count) in
        [(&["logs", "hello"][..], 100), (&["logs", "hello", "-n", "3"], 3), (&["logs", "hello", "-n0"], 0)]
    {
        let shown = sandbox.run(args).unwrap().expect_success().unwrap().stdout;
        assert_eq!(shown.lines().collect::<Vec<_>>(), lines[150 - count..]);
    }
}

#[test]
fn control_characters_of_a_log_are_escaped_on_a_terminal_and_kept_in_a_pipe() {
    let text = "\u{1b}[31mred\u{1b}[0m \u{1b}[2J\u{7}\n";
    let (sandbox, _) = with_log(text.as_bytes());
    assert_eq!(sandbox.run(&["logs", "hello"]).unwrap().stdout, text);
    let shown = at_terminal(&sandbox, "dumb", "gatling logs hello", ["", "", "red"]);
    assert_eq!(shown.trim_end(), "red \\u{1b}[2J\\u{7}");
}

#[test]
fn a_followed_log_continues_after_both_kinds_of_rotation() {
    let (sandbox, log) = with_log(b"one\n");
    let logs = sandbox.start(&mut sandbox.gatling(&["logs", "hello", "--follow"])).unwrap();
    logs.wait_for("one\n").unwrap();
    let append = |text: &str| OpenOptions::new().append(true).open(&log).unwrap().write_all(text.as_bytes()).unwrap();
    append("two\n");
    logs.wait_for("two\n").unwrap();

    fs::write(&log, "3\n").unwrap();
    logs.wait_for("3\n").unwrap();
    fs::rename(&log, log.with_extension("log.1")).unwrap();
    fs::write(&log, "four\n").unwrap();
    logs.wait_for("four\n").unwrap();
    append("five, and no line end");
    logs.wait_for("five, and no line end").unwrap();

    assert_eq!(logs.said(), "one\ntwo\n3\nfour\nfive, and no line end");
    logs.kill().unwrap();
}

#[test]
fn following_ends_silently_when_the_reader_is_gone() {
    let (sandbox, _log) = with_log(b"one\n");
    let mut logs = sandbox.gatling(&["logs", "hello", "-f"]);
    let mut child = logs.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();

    let ended = child.wait_with_output().unwrap();

    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}
