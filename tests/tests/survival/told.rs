//! What git tells Gatling is a hint: the latest commit of the deploy branch against what serves decides.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;

use gatling_tests::{Output, Sandbox};

use super::{answer, outcomes};

#[test]
fn a_pushed_commit_for_which_git_called_nothing_is_noticed() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    // As many refs do, whose names do not fit on a command line.
    let hook = sandbox.home().join("hello/.git/hooks/post-update");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o644)).unwrap();
    hello.push().unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));

    let status = sandbox.run(&["status", "hello"]).unwrap();
    let short = hello.head().unwrap()[..7].to_owned();
    assert!(status.says(&format!("pushed   {short}, which does not serve: gatling upgrade hello")), "{status:?}");
    let output = hello.push_refs(&["main:refs/tags/v2"]).unwrap();

    assert!(output.says(&format!("main {short} was pushed before, and no run has deployed it")), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.2.0"));
    assert_eq!(outcomes(&sandbox), ["succeeded", "succeeded"]);
    assert!(!sandbox.run(&["status", "hello"]).unwrap().says("pushed  "));
}

#[test]
fn ten_thousand_refs_in_one_push_lose_nothing() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    let head = hello.head().unwrap();
    let long = "r".repeat(200);
    let refs: String = (0..10_000).map(|number| format!("{head} refs/tags/{long}-{number}\n")).collect();
    fs::write(
        hello.dir().join(".git/packed-refs"),
        format!("# pack-refs with: peeled fully-peeled sorted \n{}", sorted(&refs)),
    )
    .unwrap();

    let push = hello.push_refs(&["main", "--tags"]).unwrap();

    if sandbox.get("/").unwrap() == answer("0.1.0") {
        // git could not call the hook.
        assert!(push.says("Argument list too long"), "{push:?}");
        assert!(sandbox.run(&["status", "hello"]).unwrap().says("which does not serve: gatling upgrade hello"));
        assert!(sandbox.run(&["upgrade", "hello"]).unwrap().status.success());
    }
    assert_eq!(sandbox.get("/").unwrap(), answer("0.2.0"));
}

fn sorted(lines: &str) -> String {
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort_by_key(|line| line.split_once(' ').map(|(_, name)| name.to_owned()));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn names_of_refs_may_have_quotes_spaces_and_bytes_that_are_not_text() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let mut command = sandbox.gatling(&["receive", "hello"]);
    for name in [&b"refs/heads/it's \"new\""[..], b"refs/heads/caf\xe9", b"refs/tags/\x1b[2J", b"refs/heads/main", b""]
    {
        command.arg(OsString::from_vec(name.to_vec()));
    }

    let output = Output::of(&mut command).unwrap();

    assert!(output.status.success(), "{output:?}");
    assert!(output.says("--branch 'it'\\''s \"new\"'") || output.says("--branch"), "{output:?}");
    assert!(
        output.says("more refs are not the deploy branch either") && output.says("is already serving"),
        "{output:?}"
    );
    assert!(!output.stdout.contains('\u{1b}'), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));
}

#[test]
fn two_branches_and_a_tag_in_one_push_deploy_the_deploy_branch_once() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let output = hello.push_refs(&["main", "main:other", "main:refs/tags/v1"]).unwrap();
    assert!(
        output.says("hello 0.1.0 is serving at") && output.says("refs/heads/other is not the deploy branch"),
        "{output:?}"
    );
    assert_eq!(outcomes(&sandbox), ["succeeded"]);
}

#[test]
fn a_deploy_branch_that_is_pushed_back_during_a_run_ends_with_the_older_commit() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let first = hello.head().unwrap();
    let gate = hello.add_gate().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    let second = hello.start_push(&["main"]).unwrap();
    gate.wait().unwrap();
    hello.git(&["reset", "--quiet", "--hard", &first]).unwrap();
    let back = hello.start_push(&["+main"]).unwrap();
    back.wait_for("gatling: waiting for upgrade of hello").unwrap();

    gate.open().unwrap();

    assert!(second.end().unwrap().says("hello 0.2.0 is serving at"));
    let back = back.end().unwrap();
    assert!(back.says("is serving at"), "{back:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));
}

#[test]
fn a_repository_without_its_objects_fails_with_a_message_and_the_app_serves() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let objects = sandbox.home().join("hello/.git/objects");
    fs::rename(&objects, sandbox.root().join("objects")).unwrap();
    fs::create_dir(&objects).unwrap();

    let upgrade = sandbox.run(&["upgrade", "hello"]).unwrap();

    assert_eq!(upgrade.status.code(), Some(1), "{upgrade:?}");
    assert!(upgrade.says("git") && upgrade.says("hello 0.1.0 is serving"), "{upgrade:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));
    fs::remove_dir_all(&objects).unwrap();
    fs::rename(sandbox.root().join("objects"), &objects).unwrap();
    assert!(sandbox.run(&["upgrade", "hello"]).unwrap().status.success());
}

#[test]
fn the_locks_of_a_git_that_was_killed_stop_no_push() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let git = sandbox.home().join("hello/.git");
    for lock in ["refs/heads/main.lock", "refs/gatling/checkout.lock", "packed-refs.lock"] {
        fs::write(git.join(lock), "").unwrap();
    }
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();

    hello.deploy().unwrap();

    assert_eq!(sandbox.get("/").unwrap(), answer("0.2.0"));
}
