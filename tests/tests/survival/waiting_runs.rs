//! Of several runs that wait, only the newest deploys; and a commit is only called deployed if it serves.

use gatling_tests::Sandbox;

use super::{answer, outcomes};

#[test]
fn of_several_pushes_that_wait_only_the_newest_is_carried_out() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let (first, gate) = hello.push_to_gate().unwrap();
    let mut waiting = Vec::new();
    let mut commits = Vec::new();
    for version in ["0.2.0", "0.3.0", "0.4.0"] {
        hello.set_version(version).unwrap();
        hello.commit(version).unwrap();
        commits.push(hello.head().unwrap());
        let push = hello.start_push(&["main"]).unwrap();
        push.wait_for("gatling: waiting for deploy of hello to main").unwrap();
        assert!(
            push.said().contains("begun by") && push.said().contains(" at 20"),
            "since when is not in {}",
            push.said()
        );
        waiting.push(push);
    }
    let wait = |commit: &str| sandbox.start(&mut sandbox.gatling(&["status", "hello", "--wait", commit])).unwrap();
    let told: Vec<_> = commits.iter().map(|commit| wait(&commit[..10])).collect();

    gate.open().unwrap();

    assert!(first.end().unwrap().says("hello 0.1.0 is serving at"));
    let newest = waiting.pop().unwrap().end().unwrap();
    assert!(newest.says("hello 0.4.0 is serving at"), "{newest:?}");
    for older in waiting {
        let older = older.end().unwrap();
        assert!(older.says("was begun later and deploys the latest commit"), "{older:?}");
    }
    assert_eq!(outcomes(&sandbox), ["succeeded", "superseded", "superseded", "succeeded"]);
    let codes: Vec<_> = told.into_iter().map(|told| told.end().unwrap().status.code()).collect();
    assert_eq!(codes, [Some(3), Some(3), Some(0)]);
    assert_eq!(sandbox.get("/").unwrap(), answer("0.4.0"));
}

#[test]
fn status_waits_for_the_deployment_of_a_commit_and_its_exit_code_says_how_that_went() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let first = hello.head().unwrap();
    hello.set_version("0.2.0").unwrap();
    let gate = hello.add_gate().unwrap();
    hello.commit("0.2.0").unwrap();
    let second = hello.head().unwrap();
    let push = hello.start_push(&["main"]).unwrap();
    gate.wait().unwrap();
    let waiting = sandbox.start(&mut sandbox.gatling(&["status", "hello", "--wait", &second])).unwrap();
    let serves = sandbox.run(&["status", "hello", "--wait", &first]).unwrap();
    assert_eq!(serves.status.code(), Some(0), "{serves:?}");

    gate.open().unwrap();

    push.end().unwrap();
    let output = waiting.end().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(sandbox.run(&["status", "hello", "--wait", &first]).unwrap().status.code(), Some(3));
    let missing = sandbox.run(&["status", "hello", "--wait", "0123456"]).unwrap();
    assert!(missing.status.code() == Some(1) && missing.says("there is no commit \"0123456\""), "{missing:?}");

    hello.write("lib/hello.ex", "does not compile").unwrap();
    hello.commit("Broken").unwrap();
    hello.push().unwrap();
    let failed = sandbox.run(&["status", "hello", "--wait", &hello.head().unwrap()]).unwrap();
    assert!(failed.status.code() == Some(1) && failed.says("it does not serve"), "{failed:?}");
}
