//! Pushes over ssh, to a server without the pushing user's environment.

use gatling_tests::{Project, Running, Sandbox, Sshd};

/// Makes the remote `server` an ssh one.
fn use_ssh(sandbox: &Sandbox, sshd: &Sshd, hello: &Project<'_>) {
    hello.git(&["remote", "set-url", "server", &sshd.url(&sandbox.home().join("hello"))]).unwrap();
}

fn start_push(sandbox: &Sandbox, sshd: &Sshd, hello: &Project<'_>) -> Running {
    sandbox.start(hello.push_command(&["main"]).env("GIT_SSH_COMMAND", sshd.client())).unwrap()
}

#[test]
fn a_push_over_ssh_deploys_to_the_folders_given_at_load_and_shows_the_run_live() {
    let sandbox = Sandbox::new().unwrap();
    let sshd = Sshd::start(&sandbox).unwrap();
    let hello = sandbox.load("hello").unwrap();
    use_ssh(&sandbox, &sshd, &hello);
    let gate = hello.add_gate().unwrap();
    hello.commit("A build that waits").unwrap();

    let push = start_push(&sandbox, &sshd, &hello);
    gate.wait().unwrap();
    push.wait_for("remote: mix_compile").unwrap();
    gate.open().unwrap();
    let output = push.end().unwrap().expect_success().unwrap();

    let remote: Vec<_> = output.stdout.lines().filter_map(|line| line.strip_prefix("remote: ")).collect();
    assert!(remote[0].starts_with("gatling: hello 0.1.0  main "), "{remote:?}");
    let serves = |line: &&str| line.starts_with("gatling: hello 0.1.0 is serving at www.example.com");
    assert!(remote.iter().rev().take(4).any(serves), "{remote:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    assert!(sandbox.home().join("deployments/hello/current").exists());
    assert!(sandbox.etc().join("hello").is_file());
    let runs = sandbox.runs("hello").unwrap();
    assert_eq!(runs.len(), 1);
    assert!(runs[0]["by"].as_str().unwrap().ends_with(" from 127.0.0.1"), "{runs:#?}");
}

#[test]
fn a_run_continues_when_the_ssh_connection_of_the_push_breaks() {
    let sandbox = Sandbox::new().unwrap();
    let sshd = Sshd::start(&sandbox).unwrap();
    let hello = sandbox.load("hello").unwrap();
    use_ssh(&sandbox, &sshd, &hello);
    let gate = hello.add_gate().unwrap();
    hello.commit("A build that waits").unwrap();
    let push = start_push(&sandbox, &sshd, &hello);
    gate.wait().unwrap();

    push.kill().unwrap();
    gate.open().unwrap();

    assert_eq!(sandbox.wait_for_end_of_run("hello").unwrap()["outcome"], "succeeded");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}
