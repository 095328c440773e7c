//! What nginx really does counts, not what is in its files.

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
fn without_an_nginx_that_runs_nothing_is_begun() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let pid = nginx_pid(&sandbox);
    kill_process(pid, Signal::QUIT).unwrap();
    waiting::wait_for("the end of nginx", || test_kill_process(pid).is_err().then_some(())).unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("Version 0.2.0").unwrap();

    let told = hello.push().unwrap();

    assert!(told.says("nginx is not running: start it, for instance with `service nginx start`"), "{told:?}");
    assert!(told.says("hello 0.1.0 runs, but visitors are NOT served"), "{told:?}");
    assert!(!told.says("mix_deps_get"), "{told:?}");

    start_nginx(&sandbox);
    sandbox.run(&["upgrade", "hello"]).unwrap().expect_success().unwrap();
    sandbox.wait_for_answer(200, "hello 0.2.0\n").unwrap();
}

#[test]
fn a_version_that_nginx_does_not_serve_is_no_success_though_its_site_is_in_place() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let quit = format!("[\"cmd kill -QUIT {}\", \"hello.digest\"]", nginx_pid(&sandbox).as_raw_nonzero());
    hello.replace("mix.exs", "[\"hello.digest\"]", &quit).unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("Version 0.2.0, which ends nginx when it is built").unwrap();

    let told = hello.push().unwrap();

    assert!(told.says("the step upgrade_service") && told.says("visitors are not served"), "{told:?}");
    assert!(!told.says("is serving at"), "{told:?}");
    start_nginx(&sandbox);
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn where_nginx_would_take_no_new_site_nothing_is_begun() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let other = sandbox.nginx_dir().join("sites-enabled/other");
    fs::write(&other, "nonsense;\n").unwrap();
    let port = format!("PORT={}", http::free_port().unwrap());
    sandbox.run(&["config", "set", "hello", &port]).unwrap().expect_success().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("Version 0.2.0").unwrap();

    let told = hello.push().unwrap();

    assert!(told.says("nginx would not take the new site; nothing was changed"), "{told:?}");
    assert!(told.says("though not for this site") && told.says("nonsense"), "{told:?}");
    assert!(!told.says("mix_deps_get"), "{told:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    fs::remove_file(other).unwrap();
}
