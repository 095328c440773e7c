//! `gatling load --strict`: a failed deployment refuses the push.

use gatling_tests::Sandbox;

use super::{answer, outcomes};

#[test]
fn a_failed_deployment_refuses_the_push_and_the_branch_stays() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let load = sandbox.run(&["load", "hello", "--strict"]).unwrap();
    assert!(load.says("the push is refused if the deployment fails"), "{load:?}");
    let repository = sandbox.home().join("hello");
    let branch = || sandbox.git(&repository, &["rev-parse", "refs/heads/main"]).unwrap().stdout.trim().to_owned();

    let first = hello.push().unwrap();
    assert!(first.status.success() && first.says("hello 0.1.0 is serving at"), "{first:?}");
    let deployed = branch();
    assert_eq!(deployed, hello.head().unwrap());

    let router = hello.read("lib/hello/router.ex").unwrap();
    hello.write("lib/hello/router.ex", "does not compile").unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("Broken").unwrap();
    let broken = hello.push().unwrap();
    assert!(!broken.status.success(), "{broken:?}");
    for words in ["the step mix_compile", "pre-receive hook declined", "hello 0.1.0 is serving"] {
        assert!(broken.says(words), "{words:?} is not in {broken:?}");
    }
    assert!(broken.says("Fix it and push again.") && !broken.says("gatling upgrade"), "{broken:?}");
    assert_eq!((branch(), sandbox.get("/").unwrap()), (deployed.clone(), answer("0.1.0")));
    // The same push is tried again, with the same result.
    assert!(!hello.push().unwrap().status.success());

    hello.write("lib/hello/router.ex", &router).unwrap();
    hello.commit("Fixed").unwrap();
    let fixed = hello.push().unwrap();
    assert!(fixed.status.success(), "{fixed:?}");
    assert_eq!((branch(), sandbox.get("/").unwrap()), (hello.head().unwrap(), answer("0.2.0")));
    assert_eq!(outcomes(&sandbox), ["succeeded", "failed", "failed", "succeeded"]);
    sandbox.git(&repository, &["fsck", "--strict"]).unwrap();
}

#[test]
fn other_refs_are_accepted_and_a_strict_project_can_be_made_an_ordinary_one() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    sandbox.run(&["load", "hello", "--strict"]).unwrap();
    let other = hello.push_refs(&["main:refs/heads/other"]).unwrap();
    assert!(other.status.success() && outcomes(&sandbox).is_empty(), "{other:?}");

    let load = sandbox.run(&["load", "hello", "--strict=false"]).unwrap();
    assert!(!load.says("refused"), "{load:?}");
    hello.write("lib/hello.ex", "does not compile").unwrap();
    hello.commit("Broken").unwrap();
    let broken = hello.push().unwrap();
    assert!(broken.status.success() && broken.says("failed"), "{broken:?}");
}

#[test]
fn a_push_that_waited_for_one_that_was_deployed_is_refused() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    sandbox.run(&["load", "hello", "--strict"]).unwrap();
    let (first, gate) = hello.push_to_gate().unwrap();
    let colleague = hello.clone_as("colleague").unwrap();
    colleague.set_version("0.2.0").unwrap();
    colleague.commit("0.2.0").unwrap();
    let second = colleague.start_push(&["main"]).unwrap();
    second.wait_for("gatling: waiting for deploy of hello").unwrap();

    gate.open().unwrap();

    assert!(first.end().unwrap().status.success());
    let refused = second.end().unwrap();
    assert!(!refused.status.success() && refused.says("another push was deployed in the meantime"), "{refused:?}");
    assert_eq!(sandbox.get("/").unwrap(), answer("0.1.0"));
    assert!(colleague.push().unwrap().status.success());
    assert_eq!(sandbox.get("/").unwrap(), answer("0.2.0"));
}
