//! Which releases stay on the server for a rollback.

use std::fs;

use gatling_tests::{Project, Sandbox};

/// Pushes `version` and asserts that it serves.
fn deploy(hello: &Project<'_>, version: &str) {
    hello.set_version(version).unwrap();
    hello.commit(version).unwrap();
    hello.deploy().unwrap();
}

#[test]
fn the_last_five_releases_that_served_are_kept_and_failed_ones_are_not() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let first = hello.head().unwrap();
    let releases = || {
        let folders = fs::read_dir(sandbox.home().join("deployments/hello/releases")).unwrap();
        let mut names: Vec<_> = folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };

    deploy(&hello, "0.2.0");
    hello.replace("lib/hello/application.ex", "children = [", "raise \"no such planet\"\n    children = [").unwrap();
    hello.set_version("0.9.0").unwrap();
    hello.commit("Version 0.9.0, which never serves").unwrap();
    assert!(hello.push().unwrap().says("hello 0.2.0 is serving."));
    hello.git(&["reset", "--quiet", "--hard", "HEAD^"]).unwrap();
    // Roll back to the first version, which gets a release of its own.
    let back = hello.push_refs(&[&format!("+{first}:main")]).unwrap();
    assert!(back.says("hello 0.1.0+2 is serving at"), "{back:?}");
    for version in ["0.3.0", "0.4.0", "0.5.0"] {
        hello.set_version(version).unwrap();
        hello.commit(version).unwrap();
        let output = hello.push_refs(&["+main"]).unwrap();
        assert!(output.says(&format!("hello {version} is serving at")), "{output:?}");
    }
    // By now six releases have served.
    assert_eq!(releases(), ["0.1.0+2", "0.2.0", "0.3.0", "0.4.0", "0.5.0"]);

    deploy(&hello, "0.6.0");

    assert_eq!(releases(), ["0.1.0+2", "0.3.0", "0.4.0", "0.5.0", "0.6.0"]);
    // The names of releases that are gone are not used again, neither of one that served nor of one that only started.
    for (version, release) in [("0.9.0", "0.9.0+2"), ("0.1.0", "0.1.0+3")] {
        deploy(&hello, version);
        let current = fs::read_link(sandbox.home().join("deployments/hello/current")).unwrap();
        assert_eq!(current.file_name().unwrap(), release);
    }
}
