//! An upgrade seen by visitors who never stop: no request is lost, and none is answered by a version that does not serve.

mod load;

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use gatling_tests::{Project, Sandbox};
use load::{Kind, Load, Seen};

const VISITORS: [(Kind, usize); 3] = [(Kind::Get, 10), (Kind::Post, 10), (Kind::New, 4)];

/// A route that answers after some seconds.
const SLOW: &str =
    "defp route(\"/slow\") do\n    Process.sleep(3_000)\n    route(\"/\")\n  end\n\n  defp route(\"/\"), do:";

fn server() -> (&'static Sandbox, Project<'static>) {
    let sandbox = Sandbox::shared().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.replace("lib/hello/router.ex", "[:GET, :HEAD]", "[:GET, :HEAD, :POST]").unwrap();
    hello.replace("lib/hello/router.ex", "defp route(\"/\"), do:", SLOW).unwrap();
    hello.commit("A slow page").unwrap();
    hello.deploy().unwrap();
    sandbox.wait_for_answer(200, "hello 0.1.0\n").unwrap();
    (sandbox, hello)
}

/// Fails unless every visitor has seen these versions in this order, and nothing else.
fn check(seen: &[Seen], versions: &[&str]) {
    let errors: Vec<_> = seen.iter().flat_map(|seen| &seen.errors).collect();
    let answers: usize = seen.iter().map(|seen| seen.answers).sum();
    let worst = seen.iter().map(|seen| seen.worst).max();
    println!("{answers} answers, {} failed, the longest took {worst:?}", errors.len());
    assert!(errors.is_empty(), "{} of {answers} failed: {:#?}", errors.len(), &errors[..errors.len().min(5)]);
    for seen in seen {
        assert_eq!(seen.versions, versions, "{seen:?}");
    }
}

#[test]
fn upgrades_lose_no_request() {
    let (sandbox, hello) = server();
    let load = Load::start(sandbox.nginx_port(), &VISITORS);
    for version in ["0.2.0", "0.3.0", "0.4.0"] {
        hello.set_version(version).unwrap();
        hello.commit(version).unwrap();
        hello.deploy().unwrap();
        thread::sleep(Duration::from_millis(300));
    }
    check(&load.stop(), &["0.1.0", "0.2.0", "0.3.0", "0.4.0"]);
}
