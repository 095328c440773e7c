//! `gatling env` and `gatling plan`: what would be done, and nothing is.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use gatling_tests::server::Run;
use gatling_tests::{Output, Project, Sandbox, places};
use serde_json::Value;

use crate::{json, run, said, snapshot};
use gatling_tests::component::contract;

/// The example app, loaded, with its files in the build dir: pushed, and refused before the first
/// step. `few` is its hooks file for upgrades.
fn checked_out(sandbox: &Sandbox) -> Project<'_> {
    let hello = sandbox.load("hello").unwrap();
    hello.copy_hooks(&places::guest("few").unwrap(), "upgrade.wasm").unwrap();
    hello.commit("With hooks").unwrap();
    run(sandbox, &["config", "set", "hello", "PORT=abc"], 0, &[]);
    assert!(hello.push().unwrap().says("PORT is \"abc\""));
    run(sandbox, &["config", "unset", "hello", "PORT"], 0, &[]);
    assert!(sandbox.home().join("hello/mix.exs").is_file());
    hello
}

#[test]
fn the_env_has_the_fields_of_the_contracts_record() {
    let sandbox = Sandbox::new().unwrap();
    checked_out(&sandbox);
    let text = contract();
    let record = text.split("record env {").nth(1).unwrap().split("\n  }").next().unwrap();
    let fields = record.lines().map(str::trim).filter(|line| !line.starts_with("///") && !line.is_empty());
    let fields: BTreeSet<String> = fields.map(|line| line.split(':').next().unwrap().replace('-', "_")).collect();
    assert_eq!(fields.len(), 28);

    let env = json(&sandbox, &["env", "hello", "--json"], 0);

    assert_eq!(env.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>(), fields);
    assert_eq!((&env["project"], &env["version"], &env["task"]), (&"hello".into(), &"0.1.0".into(), &"deploy".into()));
    let text = run(&sandbox, &["env", "hello"], 0, &[]);
    for field in &fields {
        assert!(text.lines().any(|line| line.split(' ').next() == Some(field)), "{field} is not in\n{text}");
    }
}

/// The commands in the text of a plan or a log: what stands behind `$`.
fn commands(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim_start().trim_start_matches("debug: ").strip_prefix("$ ")).collect()
}

/// The log of the project's latest run, with what isn't shown to the user who pushed.
fn latest_log(sandbox: &Sandbox) -> String {
    sandbox.log_of_run("hello").unwrap()
}

#[test]
fn a_plan_lists_the_steps_in_order_with_the_hooks_around_them() {
    let sandbox = Sandbox::new().unwrap();
    checked_out(&sandbox);
    let expected = [
        "mix_deps_get",
        "mix_compile",
        "before_mix_digest",
        "mix_digest",
        "mix_release",
        "make_upgrade_dir",
        "copy_release_to_upgrade",
        "upgrade_service",
        "after_upgrade_service",
        "configure_nginx",
    ];

    let text = run(&sandbox, &["plan", "hello", "upgrade"], 0, &["upgrade of hello 0.1.0"]);
    let plan = json(&sandbox, &["plan", "hello", "upgrade", "--json"], 0);

    let titles = text.lines().skip(1).filter(|line| !line.starts_with(' '));
    assert_eq!(titles.filter_map(|line| line.split(' ').next()).collect::<Vec<_>>(), expected, "{text}");
    let of_step =
        |step: &Value| [&step["before"], &step["name"], &step["after"]].map(|name| name.as_str().map(str::to_owned));
    let names: Vec<_> = plan["steps"].as_array().unwrap().iter().flat_map(of_step).flatten().collect();
    assert_eq!(names, expected);
    let shown = plan["steps"].as_array().unwrap().iter().flat_map(|step| step["actions"].as_array().unwrap());
    let shown: Vec<_> = shown.filter_map(|action| action["text"].as_str()).collect();
    assert_eq!(commands(&shown.join("\n")), commands(&text), "both tell of the same commands");
    assert!(commands(&text).contains(&"mix release --overwrite --quiet"), "{text}");
}

#[test]
fn a_plan_runs_nothing_and_changes_nothing() {
    let sandbox = Sandbox::new().unwrap();
    checked_out(&sandbox);
    let outside = tempfile::tempdir().unwrap();
    let (programs, noted) = (outside.path().join("programs"), outside.path().join("was-run"));
    fs::create_dir(&programs).unwrap();
    for program in ["mix", "nginx", "tar", "cp", "mv", "ln", "rm", "install", "service", "curl", "sh"] {
        let path = programs.join(program);
        fs::write(&path, format!("#!/bin/sh\necho {program} \"$@\" >>{}\n", noted.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let before = snapshot(sandbox.root());

    for args in [
        &["plan", "hello"][..],
        &["plan", "hello", "--json"],
        &["plan", "hello", "upgrade"],
        &["plan", "hello", "unload"],
    ] {
        let mut plan = sandbox.gatling(args);
        let path = plan.get_envs().find_map(|(name, value)| value.filter(|_| name == "PATH")).unwrap().to_owned();
        // elixir, which is asked for the project's facts, is a shell script.
        let folders = [programs.clone()].into_iter().chain(std::env::split_paths(&path));
        plan.env("PATH", std::env::join_paths(folders).unwrap());
        said(Run::from(Output::of(&mut plan).unwrap()), args, 0, &[]);
    }

    let was_run = fs::read_to_string(&noted).unwrap_or_default();
    // nginx is asked how it was built, which changes nothing.
    assert!(was_run.lines().all(|command| command == "nginx -V"), "{was_run}");
    let after = snapshot(sandbox.root());
    let changed: Vec<_> = after.iter().filter(|(path, facts)| before.get(*path) != Some(facts)).collect();
    assert!(changed.is_empty() && after.len() == before.len(), "changed: {changed:#?}");
    assert!(!sandbox.home().join("hello/_build").exists());
}

#[test]
fn a_run_executes_exactly_the_commands_of_its_plan() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    run(&sandbox, &["config", "set", "hello", "PORT=abc"], 0, &[]);
    hello.push().unwrap();
    run(&sandbox, &["config", "unset", "hello", "PORT"], 0, &[]);

    for args in [&["deploy", "hello"][..], &["upgrade", "hello"], &["rollback", "hello"], &["unload", "hello", "--yes"]]
    {
        if args[0] == "rollback" {
            // Otherwise there is only one commit to go back to.
            hello.commit("Another commit").unwrap();
            hello.deploy().unwrap();
        }
        let plan = run(&sandbox, &["plan", "hello", args[0]], 0, &[]);
        let shown = run(&sandbox, args, 0, &[]);

        assert_eq!(commands(&latest_log(&sandbox)), commands(&plan), "{args:?}\n{plan}");
        assert!(commands(&shown).iter().all(|command| commands(&plan).contains(command)), "{shown}");
    }
}
