//! `gatling hooks check`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gatling_tests::server::Run;
use gatling_tests::{Output, Sandbox, places};
use serde_json::Value;

use crate::{json, run, said};
use gatling_tests::component::{USE, component, contract};

/// Runs `gatling` in a folder of the sandbox.
#[track_caller]
fn run_in(sandbox: &Sandbox, folder: &Path, args: &[&str], code: i32, words: &[&str]) -> String {
    said(Run::from(Output::of(sandbox.gatling(args).current_dir(folder)).unwrap()), args, code, words)
}

#[test]
fn the_hooks_of_every_task_are_listed_in_pipeline_order() {
    let sandbox = Sandbox::new().unwrap();
    let listed = fs::read_to_string(places::workspace().join("guest-sdk/macros/hooks.txt")).unwrap();

    let guests = [
        ("recorder-deploy", "deploy"),
        ("recorder", "upgrade"),
        ("recorder-rollback", "rollback"),
        ("recorder-unload", "unload"),
    ];
    for (guest, task) in guests {
        let file = sandbox.root().join(task).with_extension("wasm");
        fs::copy(places::guest(guest).unwrap(), &file).unwrap();
        let file = file.display().to_string();
        let of_task = listed.lines().filter_map(|line| line.strip_prefix(task)?.strip_prefix(' '));
        let hooks: Vec<_> = of_task.filter(|hook| *hook != "on_failure").collect();
        assert!(hooks.len() >= 6);

        let report = &json(&sandbox, &["hooks", "check", &file, "--json"], 0);
        let text = run(&sandbox, &["hooks", "check", &file], 0, &["gatling:hooks@1.2.0"]);

        let of_json = report["hooks"].as_array().unwrap().iter().map(|hook| hook["name"].as_str().unwrap());
        assert_eq!(of_json.collect::<Vec<_>>(), hooks);
        let fine = text.lines().filter_map(|line| line.strip_prefix("  ok ")?.split_whitespace().next());
        assert_eq!(fine.collect::<Vec<_>>(), hooks, "{text}");
    }
}

#[test]
fn the_hook_for_a_failure_is_listed_after_the_others() {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.root().join("upgrade.wasm");
    fs::copy(places::guest("grieving").unwrap(), &file).unwrap();
    let file = file.display().to_string();

    let text = run(&sandbox, &["hooks", "check", &file], 0, &[]);

    let hooks: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("  ok ")).map(str::trim_start).collect();
    let last = hooks.last().unwrap();
    assert!(last.starts_with("on_failure ") && last.ends_with(" upgrade: when the run fails"), "{text}");
    let report = &json(&sandbox, &["hooks", "check", &file, "--json"], 0)["hooks"][2];
    assert_eq!((&report["name"], &report["task"]), (&"on_failure".into(), &"upgrade".into()));
    assert!(report["step"].is_null() && report["phase"].is_null(), "{report}");
}

#[test]
fn the_report_in_json_has_just_the_documented_keys() {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.root().join("upgrade.wasm");
    fs::copy(places::guest("few").unwrap(), &file).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();

    let report = &json(&sandbox, &["hooks", "check", &file.display().to_string(), "--json"], 0);

    let documented = ["path", "sha256", "size", "contract", "hooks", "imports", "problems", "can_ask_for"];
    assert_eq!(keys(report), set(&documented));
    let hooks = report["hooks"].as_array().unwrap();
    assert_eq!(keys(&hooks[0]), set(&["name", "task", "step", "phase", "status", "message"]));
    assert_eq!(report["path"], file.display().to_string());
    assert_eq!(report["size"], fs::metadata(&file).unwrap().len());
    assert_eq!(report["contract"], "1.2.0");
    let mut sha256sum = sandbox.command("sha256sum", sandbox.root());
    let sum = Output::of(sha256sum.arg(&file)).unwrap().expect_success().unwrap().stdout;
    assert_eq!(report["sha256"].as_str().unwrap(), sum.split(' ').next().unwrap());
    let before = serde_json::json!({
        "name": "before_mix_digest", "task": "upgrade", "step": "mix_digest", "phase": "before", "status": "ok", "message": ""
    });
    assert_eq!(hooks[0], before);
}

#[test]
fn what_a_component_can_ask_for_is_shown_against_what_is_granted() {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.root().join("upgrade.wasm");
    fs::copy(places::guest("asker").unwrap(), &file).unwrap();
    let grants = "[hooks.grants]\nrun = ['sh', { program = 'npm', args = ['run', '**'] }]\nread = ['priv', '$deploy_dir/log']\nhttp = ['hooks.slack.com']\n";
    fs::write(sandbox.root().join("gatling.toml"), grants).unwrap();
    let caps = fs::read_to_string(sandbox.config()).unwrap() + "[hooks.grants]\nrun = ['sh']\nenv = []\n";
    fs::write(sandbox.config(), caps).unwrap();

    let text = run(&sandbox, &["hooks", "check", &file.display().to_string()], 0, &[]);

    for line in [
        r#"  can ask for run    granted: "sh", { program = "npm", args = ["run", "**"] }; the operator allows "sh""#,
        r#"  can ask for read   granted: "priv", "$deploy_dir/log""#,
        "  can ask for write  granted: nothing",
        r#"  can ask for http   granted: "hooks.slack.com""#,
        "  can ask for env    granted: nothing; the operator allows nothing",
    ] {
        assert!(text.lines().any(|said| said == line), "{line:?} in {text}");
    }
    // What imports nothing of it can ask for nothing.
    fs::copy(places::guest("few").unwrap(), &file).unwrap();
    let text = run(&sandbox, &["hooks", "check", &file.display().to_string()], 0, &[]);
    assert!(!text.contains("can ask for run") && !text.contains("can ask for http"), "{text}");
}

#[test]
fn compiling_ahead_is_done_once() {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.root().join("upgrade.wasm");
    fs::copy(places::guest("few").unwrap(), &file).unwrap();
    let file = file.display().to_string();
    let cache = sandbox.home().join(".gatling/cache");

    run(&sandbox, &["hooks", "check", &file], 0, &[]);
    assert!(!cache.exists(), "looking compiles nothing");
    run(&sandbox, &["hooks", "check", "--precompile", &file], 0, &["compiled in "]);
    run(&sandbox, &["hooks", "check", "--precompile", &file], 0, &["already compiled"]);
    let report = json(&sandbox, &["hooks", "check", "--precompile", "--json", &file], 0);
    assert_eq!(report["compiled"], "already");
}

#[test]
fn every_built_guest_is_without_problems() {
    let sandbox = Sandbox::new().unwrap();
    let mut files: Vec<_> =
        fs::read_dir(places::guests_dir().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    assert!(files.len() >= 9, "{files:?}");

    for file in files {
        run(&sandbox, &["hooks", "check", &file.display().to_string()], 0, &["  ok "]);
    }
}

/// Checks a component with the exports and imports of `world`, built against `contract`.
#[track_caller]
fn check_built(world: &str, contract: &str, code: i32, words: &[&str]) -> Value {
    let sandbox = Sandbox::new().unwrap();
    let file = sandbox.root().join("upgrade.wasm");
    fs::write(&file, component(world, contract)).unwrap();
    let file = file.display().to_string();
    run(&sandbox, &["hooks", "check", &file], code, words);
    json(&sandbox, &["hooks", "check", &file, "--json"], code)
}

#[test]
fn a_misspelt_hook_is_reported_with_the_name_that_was_meant() {
    let world = format!("{USE} export before-mix-compil: func(env: env);");
    let report =
        check_built(&world, &contract(), 1, &["before_mix_compil is not a hook", "did you mean before_mix_compile?"]);
    assert_eq!(report["hooks"][0]["status"], "unknown");
    assert_eq!(report["problems"].as_array().unwrap().len(), 1);
}

#[test]
fn a_hook_of_the_wrong_type_is_reported_with_the_right_type() {
    let world = format!("{USE} export before-mix-compile: func(env: string) -> u32;");
    let report = check_built(&world, &contract(), 1, &["wrong type", "func(env: env) -> result<_, string>"]);
    assert_eq!(report["hooks"][0]["status"], "wrong-type");
}

#[test]
fn another_version_of_the_contract_is_reported_with_both() {
    let newer = contract().replace("gatling:hooks@1.2.0", "gatling:hooks@1.7.0");
    let world = format!("{USE} export before-mix-compile: func(env: env);").replace("@1.2.0", "@1.7.0");
    let report = check_built(&world, &newer, 1, &["gatling:hooks@1.7.0", "this Gatling provides gatling:hooks@1.2.0"]);
    assert_eq!(report["contract"], "1.7.0");
}

#[test]
fn a_contract_without_a_version_is_reported() {
    let unversioned = contract().replace("gatling:hooks@1.2.0", "gatling:hooks");
    let world = format!("{USE} export before-mix-compile: func(env: env);").replace("@1.2.0", "");
    check_built(&world, &unversioned, 1, &["without a version", "gatling:hooks@1.2.0", "add the version to the world"]);
}

#[test]
fn other_exports_of_toolchains_are_ignored() {
    let world = format!(
        "{USE} export init: func(); export exports: interface {{ f: func(); }} export after-mix-compile: func(env: env);"
    );
    let report = check_built(&world, &contract(), 0, &["after_mix_compile"]);
    assert_eq!(report["hooks"].as_array().unwrap().len(), 1, "{report}");
}

#[test]
fn without_files_the_hooks_files_of_the_folder_are_checked() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.root().join("project");
    fs::create_dir(&folder).unwrap();
    run_in(
        &sandbox,
        &folder,
        &["hooks", "check"],
        2,
        &["deploy.wasm", "upgrade.wasm", "unload.wasm", "name the files"],
    );

    fs::copy(places::guest("few").unwrap(), folder.join("upgrade.wasm")).unwrap();
    fs::write(folder.join("unload.wasm"), "rubbish").unwrap();

    run_in(&sandbox, &folder, &["hooks", "check"], 1, &["before_mix_digest", "unload.wasm", "not a WebAssembly file"]);
}

#[test]
fn a_hooks_file_that_is_not_there_is_a_problem() {
    let sandbox = Sandbox::new().unwrap();

    run(&sandbox, &["hooks", "check", "nowhere.wasm"], 1, &["cannot read nowhere.wasm", "No such file"]);
    let report = &json(&sandbox, &["hooks", "check", "nowhere.wasm", "--json"], 1);

    assert_eq!((&report["sha256"], &report["size"], &report["contract"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(report["problems"].as_array().unwrap().len(), 1);
}
