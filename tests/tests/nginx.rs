//! Gatling checks what nginx really does, not only its files.

use std::fs;

use gatling_tests::{Sandbox, http, waiting};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Starts the sandbox's nginx again.
fn start_nginx(sandbox: &Sandbox) {
    let config = sandbox.nginx_dir().join("nginx.conf").display().to_string();
    let nginx = sandbox.command("nginx", sandbox.root()).args(["-c", &config]).status().unwrap();
    assert!(nginx.success());
}

fn nginx_pid(sandbox: &Sandbox) -> Pid {
    let pid = fs::read_to_string(sandbox.nginx_pid_file()).unwrap();
    Pid::from_raw(pid.trim().parse().unwrap()).unwrap()
}

#[test]
fn no_step_runs_if_nginx_is_not_running() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let pid = nginx_pid(&sandbox);
    kill_process(pid, Signal::QUIT).unwrap();
    waiting::wait_for("the end of nginx", || test_kill_process(pid).is_err().then_some(())).unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("Version 0.2.0").unwrap();

    let output = hello.push().unwrap();

    assert!(output.says("nginx is not running: start it, for example with `service nginx start`"), "{output:?}");
    assert!(output.says("hello 0.1.0 runs, but visitors are NOT served"), "{output:?}");
    assert!(!output.says("mix_deps_get"), "{output:?}");

    start_nginx(&sandbox);
    sandbox.run(&["upgrade", "hello"]).unwrap().expect_success().unwrap();
    sandbox.wait_for_answer(200, "hello 0.2.0\n").unwrap();
}

#[test]
fn a_run_fails_if_nginx_does_not_serve_the_new_version() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let quit = format!("[\"cmd kill -QUIT {}\", \"hello.digest\"]", nginx_pid(&sandbox).as_raw_nonzero());
    hello.replace("mix.exs", "[\"hello.digest\"]", &quit).unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("Version 0.2.0, which ends nginx when it is built").unwrap();

    let output = hello.push().unwrap();

    assert!(
        output.says("the step upgrade_service") && output.says("nginx does not answer at 127.0.0.1:"),
        "{output:?}"
    );
    assert!(!output.says("is serving at"), "{output:?}");
    start_nginx(&sandbox);
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn no_step_runs_if_nginx_would_not_accept_a_new_site() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let other = sandbox.nginx_dir().join("sites-enabled/other");
    fs::write(&other, "nonsense;\n").unwrap();
    let port = format!("PORT={}", http::free_port().unwrap());
    sandbox.run(&["config", "set", "hello", &port]).unwrap().expect_success().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("Version 0.2.0").unwrap();

    let output = hello.push().unwrap();

    assert!(output.says("nginx does not accept the new site; nothing was changed"), "{output:?}");
    assert!(output.says("but not because of this site") && output.says("nonsense"), "{output:?}");
    assert!(!output.says("mix_deps_get"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    fs::remove_file(other).unwrap();
}
