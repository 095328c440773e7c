//! Jumps of the server's clock in the middle of a run.

use std::fs;

use gatling_tests::{Sandbox, tools};

use super::{answer, outcomes};

#[test]
fn a_clock_that_jumps_by_an_hour_during_a_run_does_no_harm() {
    let library = tools::faketime().unwrap();
    for (jump, version) in [("+1h", "0.2.0"), ("-1h", "0.2.0")] {
        let sandbox = Sandbox::new().unwrap();
        let hello = sandbox.load("hello").unwrap();
        hello.deploy().unwrap();
        let gate = hello.add_gate().unwrap();
        hello.set_version(version).unwrap();
        hello.commit(version).unwrap();
        let clock = sandbox.root().join("clock");
        fs::write(&clock, "+0\n").unwrap();
        let mut push = hello.push_command(&["main"]);
        push.env("LD_PRELOAD", &library).env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
        push.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let push = sandbox.start(&mut push).unwrap();
        gate.wait().unwrap();

        fs::write(&clock, format!("{jump}\n")).unwrap();
        gate.open().unwrap();

        let output = push.end().unwrap();
        assert!(output.says("hello 0.2.0 is serving at"), "{jump}: {output:?}");
        let ended = sandbox.events("hello").unwrap().pop().unwrap();
        let seconds = ended["seconds"].as_f64().unwrap();
        assert!((0.0..600.0).contains(&seconds), "{jump}: the run took {seconds} s");

        // Back to the right time: what was built in the future is not taken for newer than this.
        hello.replace("lib/hello/router.ex", "hello #{", "good morning #{").unwrap();
        hello.set_version("0.3.0").unwrap();
        hello.commit("0.3.0").unwrap();
        hello.deploy().unwrap();
        assert_eq!(sandbox.get("/").unwrap(), (200, "good morning 0.3.0\n".to_owned()), "{jump}");
        assert_eq!(outcomes(&sandbox).len(), 3);
        assert_ne!(sandbox.get("/").unwrap(), answer("0.3.0"));
    }
}
