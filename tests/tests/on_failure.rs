//! The hook `on_failure`: when it is called, and with which failure record.

use std::fs;

use gatling_tests::server::{Run, Server, Shared, VERSION, answer};
use gatling_tests::{Sandbox, places};
use serde_json::{Value, json};

static SERVER: Shared = Shared::new();

const SETTINGS: &str = "[health]\npath = \"/health\"\nwatch = \"0s\"\n";

/// Pushes a version whose pre-release tag tells the hooks what to do.
fn push(server: &Server, what: &str) -> Run {
    server.hello.set_version(&format!("0.2.0-{what}")).unwrap();
    server.hello.copy_hooks(&places::guest("grieving").unwrap(), "upgrade.wasm").unwrap();
    server.push().unwrap()
}

/// The lines that `on_failure` logged in the latest run. Asserts that it was called once, after everything else.
#[track_caller]
fn told(sandbox: &Sandbox) -> Vec<String> {
    let events = sandbox.events("hello").unwrap();
    let kind = |event: &Value| event["event"].as_str().unwrap_or_default().to_owned();
    let calls = events.iter().filter(|event| event["event"] == "hook_begun" && event["hook"] == "on_failure");
    assert_eq!(calls.count(), 1, "{events:#?}");
    let begun =
        events.iter().position(|event| event["hook"] == "on_failure" && event["event"] == "hook_begun").unwrap();
    let after: Vec<_> = events[begun..].iter().map(kind).collect();
    assert!(!after.iter().any(|kind| kind == "step_begun" || kind == "step_ended"), "{after:?}");
    assert_eq!(after.iter().filter(|kind| *kind == "hook_ended").count(), 1, "{after:?}");
    assert_eq!(after.last().map(String::as_str), Some("ended"));
    events[begun..]
        .iter()
        .filter(|event| event["event"] == "log")
        .map(|event| event["text"].as_str().unwrap().to_owned())
        .collect()
}

/// Asserts that it was called with this failure.
#[track_caller]
fn assert_called_with(sandbox: &Sandbox, step: &str, hook: &str, moved: bool, serving: &str, because: &[&str]) {
    let told = told(sandbox);
    assert_eq!(told[0], format!("failed at step {step}, hook {hook}"));
    assert_eq!(told[1], format!("cancelled false, traffic moved {moved}, serving {serving}"));
    for words in because {
        assert!(told[2].starts_with("because: ") && told[2].contains(words), "{words:?} is not in {told:#?}");
    }
    let step = if step == "none" { "" } else { step };
    assert_eq!(told.last().unwrap(), &format!("after {step} hello"));
}

/// Asserts that the run ended with this error, independent of `on_failure`.
#[track_caller]
fn assert_failed_with(server: &Server, run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{}", run.text());
    let error = server.sandbox.runs("hello").unwrap().pop().unwrap()["error"].as_str().unwrap().to_owned();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error}");
    }
    assert!(!error.contains("on_failure"), "{error}");
}

#[test]
fn it_is_called_when_a_step_fails() {
    let server = SERVER.lock();
    server.hello.replace("lib/hello.ex", "do: @version", "do: no_such_function()").unwrap();

    let run = push(&server, "step");

    assert_failed_with(&server, &run, &["the step mix_compile"]);
    assert_called_with(server.sandbox, "mix_compile", "none", false, VERSION, &["the step mix_compile"]);
    assert!(run.text().contains("\non_failure  (upgrade.wasm)\n"), "{}", run.text());
    let history = server.gatling(&["history", "hello"]).unwrap().text();
    assert!(
        history.lines().any(|line| line.contains("0.2.0-step") && line.contains("failed at mix_compile")),
        "{history}"
    );
}

#[test]
fn it_is_called_when_a_hook_returns_an_error_or_traps() {
    let server = SERVER.lock();
    for (what, words) in [("error", "it returned an error: not on a Friday"), ("trap", "the disk is made of cheese")] {
        let run = push(&server, what);

        let hook = "the hook before_mix_release of upgrade.wasm, before the step mix_release";
        assert_failed_with(&server, &run, &[hook, words]);
        assert_called_with(server.sandbox, "mix_release", "before_mix_release", false, VERSION, &[hook, words]);
    }
}

#[test]
fn traffic_has_not_moved_if_the_new_release_does_not_start() {
    let server = SERVER.lock();
    server
        .hello
        .replace("lib/hello/application.ex", "children = [", "raise \"no such planet\"\n    children = [")
        .unwrap();

    let run = push(&server, "boot");

    assert_failed_with(&server, &run, &["the step upgrade_service"]);
    assert_called_with(server.sandbox, "upgrade_service", "none", false, VERSION, &["the step upgrade_service"]);
    assert_eq!(server.serving().unwrap().answer, (200, answer(VERSION)));
}

#[test]
fn traffic_has_moved_if_a_hook_fails_after_the_switch() {
    let server = SERVER.lock();

    let run = push(&server, "late");

    assert_failed_with(&server, &run, &["after_upgrade_service", "too late"]);
    assert_called_with(server.sandbox, "upgrade_service", "after_upgrade_service", true, "0.2.0-late", &["too late"]);
    assert_eq!(server.serving().unwrap().answer, (200, answer("0.2.0-late")));
}

#[test]
fn traffic_has_moved_if_a_step_fails_after_the_switch() {
    let server = SERVER.lock();
    server.hello.write("domains", "www.example.com\nshop.example.com\n").unwrap();
    // A site that nginx rejects, written after the trial of the new site.
    let other = server.sandbox.nginx_dir().join("sites-enabled/other");
    let write = format!("[fn _ -> File.write!({other:?}, \"nonsense;\") end, \"hello.digest\"]");
    server.hello.replace("mix.exs", "[\"hello.digest\"]", &write).unwrap();

    let run = push(&server, "site");

    fs::remove_file(other).unwrap();
    assert_failed_with(&server, &run, &["the step configure_nginx"]);
    assert_called_with(server.sandbox, "configure_nginx", "none", true, "0.2.0-site", &["unknown directive"]);
}

#[test]
fn traffic_has_moved_and_nothing_serves_if_the_switch_cannot_be_undone() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    // While the new release is built, nginx is stopped and the program of the old release is removed.
    let old = sandbox.home().join("deployments/hello/releases/0.1.0/hello/bin/hello");
    let pid = fs::read_to_string(sandbox.nginx_pid_file()).unwrap();
    let (old, pid) = (old.display(), pid.trim());
    let harm = format!("[fn _ -> File.rm!(\"{old}\"); System.cmd(\"kill\", [\"{pid}\"]) end, \"hello.digest\"]");
    hello.replace("mix.exs", "[\"hello.digest\"]", &harm).unwrap();
    hello.replace("gatling.toml", "[health]", "strategy = \"restart\"\n\n[health]").unwrap();
    hello.set_version("0.2.0-stuck").unwrap();
    hello.copy_hooks(&places::guest("grieving").unwrap(), "upgrade.wasm").unwrap();
    hello.commit("Harm").unwrap();

    let output = hello.push().unwrap();

    assert!(output.says("the previous release could not be restored"), "{output:?}");
    let words = ["the step upgrade_service", "the previous release could not be restored"];
    assert_called_with(&sandbox, "upgrade_service", "none", true, "none", &words);
}

#[test]
fn it_is_called_when_the_run_fails_before_its_first_step() {
    let server = SERVER.lock();
    let port = server.sandbox.nginx_port();
    let site = format!("server {{ listen 127.0.0.1:{port}; server_name www.example.com; server_nam no; }}\n");
    server.hello.write("nginx.conf", &site).unwrap();

    let run = push(&server, "early");

    assert_failed_with(&server, &run, &["server_nam"]);
    assert!(!run.text().contains("mix deps.get"), "a step was begun:\n{}", run.text());
    assert_called_with(server.sandbox, "none", "none", false, VERSION, &["server_nam"]);
}

#[test]
fn it_is_not_called_when_the_run_succeeds() {
    let server = SERVER.lock();

    let run = push(&server, "well").expect_code(0).unwrap();

    assert!(run.text().contains("with before_mix_release, after_upgrade_service, on_failure"), "{}", run.text());
    let begun = server.sandbox.events("hello").unwrap().into_iter().filter(|event| event["event"] == "hook_begun");
    assert_eq!(
        begun.map(|event| event["hook"].clone()).collect::<Vec<_>>(),
        ["before_mix_release", "after_upgrade_service"]
    );
}

#[test]
fn it_is_not_called_when_the_hooks_file_cannot_be_compiled() {
    let server = SERVER.lock();
    server.hello.write("gatling.toml", &format!("[hooks]\ncompile_timeout = \"1ms\"\n\n{SETTINGS}")).unwrap();
    server.hello.set_version("0.2.0-error").unwrap();
    // A custom section makes the file different from those that were compiled before.
    let mut hooks = fs::read(places::guest("grieving").unwrap()).unwrap();
    hooks.extend(b"\0\x05\x04note");
    fs::write(server.hello.dir().join("upgrade.wasm"), hooks).unwrap();

    let run = server.push().unwrap();

    assert_failed_with(&server, &run, &["cannot be compiled"]);
    assert!(!run.text().contains("on_failure  (upgrade.wasm)"), "{}", run.text());
}

#[test]
fn its_own_failure_is_only_a_warning_and_does_not_replace_the_first() {
    let server = SERVER.lock();
    server.hello.write("gatling.toml", &format!("[hooks]\ntimeout = \"2s\"\n\n{SETTINGS}")).unwrap();
    for (what, words) in [
        ("returned", "it returned an error: nobody answers at #ops"),
        ("trapped", "out of tears"),
        ("endless", "time limit (2.0 s) exceeded"),
    ] {
        let run = push(&server, &format!("error.{what}"));

        assert_failed_with(&server, &run, &["the hook before_mix_release", "not on a Friday"]);
        let events = server.sandbox.events("hello").unwrap();
        let own = events.iter().find(|event| event["event"] == "hook_ended" && event["hook"] == "on_failure").unwrap();
        assert_eq!(own["ok"], json!(false));
        let is_warning = |event: &&Value| event["event"] == "note" && event["level"] == "warning";
        let warnings: Vec<_> = events.iter().filter(is_warning).map(|event| event["text"].as_str().unwrap()).collect();
        let named =
            |text: &&&str| text.starts_with("the hook on_failure of upgrade.wasm failed too: ") && text.contains(words);
        assert_eq!(warnings.iter().filter(named).count(), 1, "{warnings:?}");
        assert!(run.text().contains("warning: the hook on_failure of upgrade.wasm failed too"), "{}", run.text());
        assert_called_with(server.sandbox, "mix_release", "before_mix_release", false, VERSION, &["not on a Friday"]);
    }
}

#[test]
fn it_gets_no_secret_that_it_may_not_read() {
    let server = SERVER.lock();
    server.gatling(&["config", "set", "hello", "TOKEN=Friday"]).unwrap().expect_code(0).unwrap();

    push(&server, "error");

    let told = told(server.sandbox);
    assert!(told.contains(&"it is about no weekday".to_owned()), "{told:?}");
    assert!(told.iter().any(|line| line.ends_with("not on a [TOKEN]")), "{told:?}");

    server.hello.write("gatling.toml", &format!("{SETTINGS}\n[hooks.grants]\nenv = [\"TOKEN\"]\n")).unwrap();

    push(&server, "error");

    let told = self::told(server.sandbox);
    assert!(told.contains(&"it is about a weekday".to_owned()), "{told:?}");
    assert!(told.contains(&"the token has 6 characters".to_owned()), "{told:?}");
}

#[test]
fn nothing_serves_when_a_first_deployment_fails() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.set_version("0.1.0-error").unwrap();
    hello.copy_hooks(&places::guest("grieving").unwrap(), "deploy.wasm").unwrap();
    hello.commit("Hooks").unwrap();

    hello.push().unwrap();

    assert_called_with(&sandbox, "mix_release", "before_mix_release", false, "none", &["not on a Friday"]);
}

#[test]
fn the_plan_shows_it_at_its_end() {
    let server = SERVER.lock();
    push(&server, "error");

    let plan = server.gatling(&["plan", "hello"]).unwrap().expect_code(0).unwrap().text();

    assert_eq!(plan.lines().last(), Some("if it fails: on_failure  (upgrade.wasm)"));
    let plan = server.gatling(&["plan", "hello", "--json"]).unwrap().expect_code(0).unwrap();
    let plan: Value = serde_json::from_str(&plan.output.stdout).unwrap();
    assert_eq!(plan["on_failure"], "on_failure");
}

#[test]
fn an_on_failure_hook_of_the_wrong_type_ends_the_run_before_its_first_step() {
    use gatling_tests::component::{USE, component, contract};
    let server = SERVER.lock();
    let world = format!("{USE} export on-failure: func(env: env) -> result<_, string>;");
    fs::write(server.hello.dir().join("upgrade.wasm"), component(&world, &contract())).unwrap();
    server.hello.set_version("0.2.0").unwrap();

    let run = server.push().unwrap().expect_code(1).unwrap();

    let right = "func(env: env, failure: failure) -> result<_, string>";
    assert!(
        run.text().contains("the hook on_failure has the wrong type") && run.text().contains(right),
        "{}",
        run.text()
    );
    assert!(!run.text().contains("mix deps.get"), "{}", run.text());
}
