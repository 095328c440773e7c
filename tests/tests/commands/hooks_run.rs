//! `gatling hooks run`.

use std::fs;
use std::path::PathBuf;

use gatling_tests::{Sandbox, places};

use crate::{json, run};
use gatling_tests::component::{USE, component, contract};

/// A sandbox with the guest as a project's upgrade.wasm.
fn with(guest: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.root().join("upgrade.wasm");
    fs::copy(places::guest(guest).unwrap(), &file).unwrap();
    let file = file.display().to_string();
    (sandbox, file)
}

fn env_file(sandbox: &Sandbox, text: &str) -> String {
    let file = sandbox.root().join("env.json");
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn a_hook_is_called_and_its_log_its_result_and_its_time_are_shown() {
    let (sandbox, file) = with("hello-hooks");
    let text = run(&sandbox, &["hooks", "run", &file, "before_mix_compile"], 0, &["0.1.0 -> 0.2.0"]);
    assert!(text.lines().any(|line| line.starts_with("before_mix_compile: ok  (")), "{text}");
    assert!(text.contains("after it was compiled in"), "{text}");
    let text = run(&sandbox, &["hooks", "run", &file, "before-mix-compile"], 0, &[]);
    assert!(!text.contains("compiled in"), "it is compiled once: {text}");
}

#[test]
fn a_failing_hook_is_reported_as_in_a_deployment() {
    let (sandbox, file) = with("failing");
    run(
        &sandbox,
        &["hooks", "run", &file, "before_mix_release"],
        1,
        &["FAILED: it returned an error: not on a Friday"],
    );
    let (sandbox, file) = with("trapping");
    let words = ["it trapped", "the disk is made of cheese", "deep_helper"];
    run(&sandbox, &["hooks", "run", &file, "after_mix_compile"], 1, &words);
}

#[test]
fn a_part_of_the_env_can_be_given_and_the_rest_is_made_up() {
    let (sandbox, file) = with("hello-hooks");
    let env = env_file(&sandbox, r#"{"project": "shop", "version": "3.0.0", "previous_version": "2.9.9"}"#);
    run(&sandbox, &["hooks", "run", &file, "before_mix_compile", "--env", &env], 0, &["shop 2.9.9 -> 3.0.0"]);

    for (text, word) in [
        (r#"{"verion": "1"}"#, r#"did you mean "version""#),
        (r#"{"version": 1}"#, "version"),
        ("rubbish", "not a JSON object"),
        ("", "not a JSON object"),
    ] {
        let env = env_file(&sandbox, text);
        run(&sandbox, &["hooks", "run", &file, "before_mix_compile", "--env", &env], 1, &[word, "env.json"]);
    }
    run(&sandbox, &["hooks", "run", &file, "before_mix_compile", "--env", "/nowhere.json"], 1, &["/nowhere.json"]);
}

#[test]
fn on_failure_gets_a_made_up_failure_or_given_fields_of_it() {
    let (sandbox, file) = with("grieving");
    let words =
        ["failed at step upgrade_service, hook none", "traffic moved false, serving 0.1.0", "on_failure: ok  ("];
    run(&sandbox, &["hooks", "run", &file, "on_failure"], 0, &words);

    let failure = env_file(&sandbox, r#"{"hook": "before_mix_digest", "traffic_moved": true, "serving": null}"#);
    let words = ["hook before_mix_digest", "traffic moved true, serving none"];
    run(&sandbox, &["hooks", "run", &file, "on-failure", "--failure", &failure], 0, &words);

    let env = env_file(&sandbox, r#"{"version": "0.2.0-error.returned"}"#);
    let words = ["FAILED: it returned an error: nobody answers at #ops"];
    run(&sandbox, &["hooks", "run", &file, "on_failure", "--env", &env], 1, &words);

    let failure = env_file(&sandbox, r#"{"massage": "no"}"#);
    let words = [r#"the failure record has no field "massage"; did you mean "message"?"#, "env.json"];
    run(&sandbox, &["hooks", "run", &file, "on_failure", "--failure", &failure], 1, &words);
    let words = ["--failure can only be used with the hook on_failure, not with before_mix_release"];
    run(&sandbox, &["hooks", "run", &file, "before_mix_release", "--failure", &failure], 2, &words);
    run(&sandbox, &["hooks", "run", &file, "on_failur"], 2, &["did you mean on_failure?"]);
}

#[test]
fn a_hook_that_imports_all_of_the_contract_1_1_0_is_linked_and_called() {
    let sandbox = Sandbox::new().unwrap();
    let older = fs::read_to_string(places::workspace().join("tests/compatibility/1.1.0/hooks.wit")).unwrap();
    let world = format!("{USE} export before-mix-compile: func(env: env);").replace("@1.2.0", "@1.1.0");
    let file = sandbox.root().join("upgrade.wasm");
    fs::write(&file, component(&world, &older)).unwrap();
    let file = file.display().to_string();

    run(&sandbox, &["hooks", "check", &file], 0, &["gatling:hooks@1.1.0"]);
    let imports = json(&sandbox, &["hooks", "check", &file, "--json"], 0)["imports"].clone();
    for interface in ["log", "process", "variables", "deployment"] {
        let name = format!("gatling:hooks/{interface}@1.1.0");
        assert!(imports.as_array().unwrap().contains(&name.clone().into()), "{name}: {imports}");
    }
    // What was made of the text alone traps: it was called.
    run(&sandbox, &["hooks", "run", &file, "before_mix_compile"], 1, &["it trapped: wasm trap: wasm `unreachable`"]);
}

#[test]
fn each_reason_why_a_hook_cannot_be_called_is_named() {
    let (sandbox, file) = with("few");
    run(&sandbox, &["hooks", "run", &file, "before_mix_digst"], 2, &["did you mean before_mix_digest?"]);
    let words = ["does not export before_mix_compile", "before_mix_digest, ", "after_upgrade_service"];
    let text = run(&sandbox, &["hooks", "run", &file, "before_mix_compile"], 1, &[words[0]]);
    assert!(text.contains("after_upgrade_service") && text.contains("before_mix_digest"), "{text}");
    run(&sandbox, &["hooks", "run", "/nowhere.wasm", "before_mix_compile"], 1, &["/nowhere.wasm"]);

    let bad = sandbox.root().join("bad.wasm").display().to_string();
    fs::write(&bad, "rubbish").unwrap();
    run(&sandbox, &["hooks", "run", &bad, "before_mix_compile"], 1, &["cannot be used", "bad.wasm"]);
    let wrong = component(&format!("{USE} export before-mix-compile: func(env: string);"), &contract());
    fs::write(&bad, wrong).unwrap();
    run(&sandbox, &["hooks", "run", &bad, "before_mix_compile"], 1, &["cannot be used", "before_mix_compile"]);
}

#[test]
fn the_report_in_json_has_just_the_documented_keys() {
    let (sandbox, file) = with("failing");
    let report = json(&sandbox, &["hooks", "run", &file, "before_mix_release", "--json"], 1);
    let keys: Vec<_> = report.as_object().unwrap().keys().map(String::as_str).collect();
    let documented = [
        "asked_for",
        "calls",
        "compiled_milliseconds",
        "error",
        "hook",
        "instance_milliseconds",
        "log",
        "milliseconds",
        "ok",
        "peak_memory",
        "ready_milliseconds",
    ];
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, documented);
    assert_eq!((&report["ok"], &report["hook"]), (&false.into(), &"before_mix_release".into()));
    assert!(report["milliseconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_hook_can_be_called_many_times_until_it_fails() {
    let (sandbox, file) = with("hello-hooks");
    let args = ["hooks", "run", &file, "before_mix_compile", "--repeat", "20"];
    let text = run(&sandbox, &args, 0, &["the median of 20 calls"]);
    assert_eq!(text.matches("0.1.0 -> 0.2.0").count(), 20, "{text}");
    let (sandbox, file) = with("failing");
    let report = json(&sandbox, &["hooks", "run", &file, "before_mix_release", "--repeat", "20", "--json"], 1);
    assert_eq!(report["calls"], 1);
    run(&sandbox, &["hooks", "run", &file, "before_mix_release", "--repeat", "0"], 2, &[]);
}

#[test]
fn a_hook_of_a_project_is_called_with_its_env_and_its_grants() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.write("gatling.toml", "[hooks.grants]\nread = ['mix.exs']\nenv = ['TOKEN']\n").unwrap();
    hello.write("domains", "environment\n").unwrap();
    hello.commit("Grants").unwrap();
    hello.deploy().unwrap();
    sandbox.run(&["config", "set", "hello", "TOKEN=abc"]).unwrap().expect_success().unwrap();
    let asker: PathBuf = places::guest("asker").unwrap();

    let args = ["hooks", "run", &asker.display().to_string(), "before_mix_compile", "--project", "hello"];
    let text = run(&sandbox, &args, 0, &["environment -> TOKEN"]);

    assert!(text.contains("before_mix_compile: ok"), "{text}");
    let text = run(
        &sandbox,
        &["hooks", "run", &asker.display().to_string(), "before_mix_compile", "--project", "shop"],
        2,
        &[],
    );
    assert!(text.contains("there is no project shop"), "{text}");
}
