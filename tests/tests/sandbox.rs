//! The sandbox of the other tests.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use gatling_tests::{Sandbox, processes, waiting};

/// A sandbox in which `gatling` does nothing, because these tests do not need it.
fn sandbox() -> Sandbox {
    Sandbox::with_program(PathBuf::from("/bin/true")).unwrap()
}

#[test]
fn nginx_answers_on_the_sandboxs_own_port() {
    let sandbox = sandbox();

    let (status, body) = sandbox.get("/").unwrap();

    assert_eq!((status, body.trim_end()), (404, "no project is served under this name"));
}

#[test]
fn two_sandboxes_share_nothing() {
    let (one, other) = (sandbox(), sandbox());

    assert_ne!(one.root(), other.root());
    assert_ne!(one.nginx_port(), other.nginx_port());
}

#[test]
fn dropping_a_sandbox_ends_its_processes_and_removes_it() {
    let sandbox = sandbox();
    let root = sandbox.root().to_path_buf();
    let mut worker = Command::new("sleep").arg("60").current_dir(sandbox.home()).spawn().unwrap();
    assert!(processes::of(&root).len() >= 2, "nginx and the worker run");

    drop(sandbox);

    assert!(worker.wait().unwrap().code().is_none(), "the worker was ended by a signal");
    assert!(processes::of(&root).is_empty());
    assert!(!root.exists());
}

#[test]
fn an_app_is_stopped_by_its_init_script() {
    let sandbox = sandbox();
    let note = tempfile::NamedTempFile::new().unwrap();
    let script = sandbox.etc().join("hello");
    let text = format!("#!/bin/sh\necho \"$1\" >{}\n", note.path().display());
    fs::write(&script, text).unwrap();
    let chmod = Command::new("chmod").arg("+x").arg(&script).stdin(Stdio::null()).status();
    assert!(chmod.unwrap().success());

    drop(sandbox);

    assert_eq!(fs::read_to_string(note.path()).unwrap(), "stop\n");
}

#[test]
fn a_project_is_a_committed_copy_of_the_example_with_the_server_as_its_remote() {
    let sandbox = sandbox();

    let hello = sandbox.project("hello").unwrap();

    assert_eq!(hello.git(&["status", "--porcelain"]).unwrap().stdout, "");
    assert_eq!(hello.git(&["branch", "--show-current"]).unwrap().stdout, "main\n");
    let remote = hello.git(&["remote", "get-url", "server"]).unwrap().stdout;
    assert_eq!(PathBuf::from(remote.trim_end()), sandbox.home().join("hello"));
    assert!(hello.read("mix.exs").unwrap().contains("@version \"0.1.0\""));
    assert!(!hello.dir().join("_build").exists());
}

#[test]
fn setting_the_version_changes_mix_exs_and_nothing_else() {
    let sandbox = sandbox();
    let hello = sandbox.project("hello").unwrap();

    hello.set_version("0.2.0").unwrap();
    hello.commit("Version 0.2.0").unwrap();

    let changed = hello.git(&["show", "--format=", "--unified=0", "HEAD"]).unwrap().stdout;
    let lines: Vec<&str> = changed.lines().skip_while(|line| !line.starts_with("@@")).collect();
    assert_eq!(lines[1..], ["-  @version \"0.1.0\"", "+  @version \"0.2.0\""]);
}

#[test]
fn a_project_of_another_name_is_an_app_of_that_name() {
    let sandbox = sandbox();

    let shop = sandbox.project("shop").unwrap();

    let facts = "IO.inspect(Mix.Project.config()[:app])";
    let mut mix = sandbox.command("mix", shop.dir());
    let output = mix.args(["run", "--no-start", "--eval", facts]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.ends_with(":shop\n"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_clones_push_to_the_same_project() {
    let sandbox = sandbox();
    let hello = sandbox.project("hello").unwrap();
    let home = sandbox.home();
    sandbox.git(&home, &["init", "--quiet", "--bare", "hello"]).unwrap();
    let clone = hello.clone_as("colleague").unwrap();
    clone.write("assets/new.txt", "new\n").unwrap();
    clone.commit("Something new").unwrap();

    hello.push().unwrap().expect_success().unwrap();
    clone.push().unwrap().expect_success().unwrap();

    let log = sandbox.git(&home.join("hello"), &["log", "--format=%s", "main"]).unwrap().stdout;
    assert!(log.starts_with("Something new\n"), "{log}");
}

#[test]
fn a_process_can_belong_to_a_sandbox_by_its_environment_alone() {
    let sandbox = sandbox();
    let mut sleep = sandbox.command("sleep", "/".as_ref()).arg("60").spawn().unwrap();

    let pids = processes::of(sandbox.root());

    assert!(pids.iter().any(|pid| pid.as_raw_nonzero().get().cast_unsigned() == sleep.id()));
    drop(sandbox);
    assert!(sleep.wait().unwrap().code().is_none(), "it was ended with the sandbox");
}

#[test]
fn the_output_of_a_background_program_can_be_read_and_it_is_killed_with_its_children() {
    let sandbox = sandbox();
    let mut shell = sandbox.command("sh", sandbox.root());
    let running = sandbox.start(shell.args(["-c", "sleep 60 & echo started; wait"])).unwrap();
    running.wait_for("started").unwrap();

    running.kill().unwrap();

    let sleeps = || processes::of(sandbox.root()).into_iter().map(processes::arguments);
    waiting::wait_for("sleep to end", || (!sleeps().any(|words| words[..] == ["sleep", "60"])).then_some(())).unwrap();
}
