//! An upgrade seen by visitors who never stop: no request is lost, and none is answered by a version that does not serve.

mod back;
mod bad_input;
mod hot;
mod maintenance;
mod odd;
mod soak;

use std::fs;
use std::thread;
use std::time::Duration;

use gatling_tests::load::{self, Kind, Load, check};
use gatling_tests::{Output, Project, Sandbox, waiting};

const VISITORS: [(Kind, usize); 6] =
    [(Kind::Get, 8), (Kind::Post, 8), (Kind::New, 4), (Kind::Slow, 2), (Kind::Upload, 2), (Kind::Socket, 1)];

/// A child of the app's supervisor that does `what` some seconds after its start.
fn later(what: &str) -> String {
    format!("children = [\n      {{Task, fn -> Process.sleep(4_000); {what} end}},")
}

/// hello 0.1.0 serves. A new version is watched for `soak` once it serves.
fn server<'s>(sandbox: &'s Sandbox, soak: &str) -> Project<'s> {
    let hello = sandbox.load("hello").unwrap();
    load::prepare(&hello).unwrap();
    hello.replace("gatling.toml", "soak = \"0s\"", &format!("soak = \"{soak}\"")).unwrap();
    hello.commit("Slow pages").unwrap();
    hello.deploy().unwrap();
    sandbox.wait_for_answer(200, "hello 0.1.0\n").unwrap();
    hello
}

/// Runs `gatling`, which must exit with this code.
fn gatling(sandbox: &Sandbox, args: &[&str], code: i32) -> Output {
    let output = sandbox.run(args).unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    output
}

fn push(hello: &Project<'_>, version: &str) -> Output {
    hello.set_version(version).unwrap();
    hello.commit(version).unwrap();
    hello.push().unwrap()
}

/// The processes of hello, as the init script marks them, with their releases.
fn releases_that_run(sandbox: &Sandbox) -> Vec<String> {
    let marker = format!("GATLING_DEPLOY_DIR={}", sandbox.home().join("deployments/hello").display());
    let mut releases = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        let variables: Vec<_> = String::from_utf8_lossy(&environ).split('\0').map(str::to_owned).collect();
        let own_pid = format!("GATLING_PID={}", entry.file_name().display());
        if variables.contains(&marker) && variables.contains(&own_pid) {
            releases.extend(
                variables.iter().find_map(|variable| variable.strip_prefix("GATLING_RELEASE=")).map(str::to_owned),
            );
        }
    }
    releases
}

/// Waits until no other release runs: an upgrade does not wait until the old one has stopped.
fn wait_until_alone(sandbox: &Sandbox, release: &str) {
    let is_alone = || (releases_that_run(sandbox) == [release]).then_some(());
    waiting::wait_for(&format!("{release} to be the only release that runs"), is_alone).unwrap();
}

#[test]
fn upgrades_and_restarts_lose_no_request() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    let load = Load::start(sandbox.nginx_port(), &VISITORS);
    for version in ["0.2.0", "0.3.0", "0.4.0"] {
        let output = push(&hello, version);
        assert!(output.says("blue-green") && output.says(&format!("hello {version} is serving")), "{output:?}");
        wait_until_alone(&sandbox, version);
    }
    let output = sandbox.run(&["restart", "hello"]).unwrap().expect_success().unwrap();
    assert!(output.says("hello 0.4.0+2 is serving"), "{output:?}");
    wait_until_alone(&sandbox, "0.4.0+2");
    // So that also those who wait see it.
    thread::sleep(Duration::from_secs(4));
    check(&load.stop(), &["0.1.0", "0.2.0", "0.3.0", "0.4.0"]);
}

#[test]
fn a_version_that_does_not_start_gets_no_traffic() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    let load = Load::start(sandbox.nginx_port(), &VISITORS);
    hello.replace("lib/hello/application.ex", "children = [", "raise \"no such planet\"\n    children = [").unwrap();
    let output = push(&hello, "0.2.0");
    assert!(output.says("no such planet") && output.says("hello 0.1.0 is serving"), "{output:?}");
    check(&load.stop(), &["0.1.0"]);
    wait_until_alone(&sandbox, "0.1.0");

    hello.replace("lib/hello/application.ex", "raise \"no such planet\"", "").unwrap();
    let output = push(&hello, "0.3.0");
    assert!(output.says("hello 0.3.0 is serving"), "{output:?}");
}

#[test]
fn a_version_that_dies_or_fails_soon_after_the_switch_is_replaced_by_the_old_one() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "8s");
    let original = hello.read("lib/hello/application.ex").unwrap();
    // Broken requests of the new version are not waited for.
    hello.replace("gatling.toml", "[health]", "drain_timeout = \"1s\"\n\n[health]").unwrap();
    let hangs = "Process.register(self(), :hangs); Process.sleep(:infinity)";
    hello
        .replace(
            "lib/hello/router.ex",
            "defp route(\"/health\"), do:",
            "defp route(\"/health\") do\n    if Process.whereis(:hangs), do: Process.sleep(:infinity)\n    {200, \"ok\"}\n  end\n\n  defp route(\"/healthy\"), do:",
        )
        .unwrap();
    let stops_to_answer = ":ok = Supervisor.terminate_child(Hello.Supervisor, Hello.Listener)";
    for (version, trouble, says) in [
        ("0.2.0", "System.halt(1)", "0.2.0 died"),
        ("0.3.0", stops_to_answer, "0.3.0 failed"),
        ("0.4.0", hangs, "0.4.0 failed"),
    ] {
        hello.write("lib/hello/application.ex", &original.replace("children = [", &later(trouble))).unwrap();
        let load = Load::start(sandbox.nginx_port(), &[(Kind::New, 2)]);
        let output = push(&hello, version);
        assert!(output.says(says) && output.says("hello 0.1.0 is serving"), "{output:?}");
        for seen in load.stop() {
            assert_eq!(seen.versions, ["0.1.0", version, "0.1.0"]);
        }
        wait_until_alone(&sandbox, "0.1.0");
        assert_eq!(
            fs::read_link(sandbox.home().join("deployments/hello/current")).unwrap().file_name().unwrap(),
            "0.1.0"
        );
    }
}

#[test]
fn requests_are_waited_for_as_long_as_the_project_says_and_web_sockets_are_not() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    hello.replace("gatling.toml", "[health]", "drain_timeout = \"1s\"\n\n[health]").unwrap();
    assert!(push(&hello, "0.2.0").says("hello 0.2.0 is serving"));

    let endless = load::begin(sandbox.nginx_port(), "/endless", "").unwrap();
    let output = push(&hello, "0.3.0");
    assert!(output.says("requests not finished after 1 s, which end now: 1"), "{output:?}");
    drop(endless);

    let socket =
        load::begin(sandbox.nginx_port(), "/endless", "Connection: Upgrade\r\nUpgrade: websocket\r\n").unwrap();
    let output = push(&hello, "0.4.0");
    assert!(
        output.says("hello 0.4.0 is serving") && !output.says("not finished") && !output.says("waiting up to"),
        "{output:?}"
    );
    drop(socket);
}

#[test]
fn a_cache_of_open_files_in_nginx_does_not_hide_the_switch() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    let config = sandbox.nginx_dir().join("nginx.conf");
    let text = fs::read_to_string(&config).unwrap();
    let cache = "http {\n    open_file_cache max=100 inactive=1h;\n    open_file_cache_valid 1h;\n    open_file_cache_errors on;";
    fs::write(&config, text.replacen("http {", cache, 1)).unwrap();
    sandbox.reload_nginx().unwrap();
    for version in ["0.2.0", "0.3.0"] {
        let output = push(&hello, version);
        assert!(output.says(&format!("hello {version} is serving")), "{output:?}");
        assert_eq!(sandbox.get("/").unwrap(), (200, format!("hello {version}\n")));
    }
}

#[test]
fn a_project_with_a_site_of_its_own_is_restarted_and_says_why() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    let site = format!(
        "server {{\n  listen 127.0.0.1:{};\n  server_name www.example.com hello.example.com;\n  location / {{ proxy_pass http://127.0.0.1:{}; }}\n}}\n",
        sandbox.nginx_port(),
        gatling_tests::http::free_port().unwrap()
    );
    let port = site.rsplit("127.0.0.1:").next().unwrap().split(';').next().unwrap().to_owned();
    sandbox.run(&["config", "set", "hello", &format!("PORT={port}")]).unwrap().expect_success().unwrap();
    hello.write("nginx.conf", &site).unwrap();
    let output = push(&hello, "0.2.0");
    let why = "the app does not answer while it is restarted: the project has its own nginx.conf";
    assert!(output.says(why) && output.says("hello 0.2.0 is serving"), "{output:?}");

    hello.replace("gatling.toml", "[health]", "strategy = \"blue-green\"\n\n[health]").unwrap();
    let output = push(&hello, "0.3.0");
    assert!(
        output.says("gatling.toml says `strategy = \"blue-green\"`, but the project has its own nginx.conf"),
        "{output:?}"
    );

    // Without it, the next version is started beside this one again.
    hello.remove("nginx.conf").unwrap();
    let output = push(&hello, "0.4.0");
    assert!(output.says("hello 0.4.0 is serving"), "{output:?}");
}

#[test]
fn if_the_file_that_decides_vanishes_status_repairs_it() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    let flag = sandbox.lib().join("hello/green");
    push(&hello, "0.2.0");
    fs::remove_file(&flag).unwrap();
    assert_eq!(sandbox.get("/").unwrap().0, 502);
    // The run of the push may still hold the lock for a moment.
    waiting::wait_for("status to repair it", || {
        let status = sandbox.run(&["status", "hello"]).unwrap();
        (status.says("hello 0.2.0 is serving") && flag.exists()).then_some(())
    })
    .unwrap();

    push(&hello, "0.3.0");
    fs::write(&flag, "").unwrap();
    let output = push(&hello, "0.4.0");
    assert!(output.says("hello 0.4.0 is serving"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.4.0\n".to_owned()));
}
