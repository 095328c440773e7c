//! The pipelines from end to end: which steps run, which hooks are called, and with what.

use gatling_tests::component::{USE, component, contract};
use gatling_tests::{Output, Project, Sandbox, UPGRADE, places, processes};
use serde_json::{Value, json};

const DEPLOY: [&str; 11] = [
    "mix_deps_get",
    "mix_compile",
    "mix_digest",
    "mix_release",
    "make_deploy_dir",
    "copy_release_to_deploy",
    "expand_release",
    "install_init_script",
    "mix_ecto_setup",
    "start_service",
    "configure_nginx",
];
const ROLLBACK: [&str; 3] = ["copy_release_to_rollback", "rollback_service", "undo_migrations"];
const UNLOAD: [&str; 5] =
    ["stop_service", "remove_init_script", "unconfigure_nginx", "remove_deploy_dir", "remove_build_dir"];

/// Steps, each with its two hooks.
fn wrapped(steps: &[&str]) -> Vec<String> {
    steps.iter().flat_map(|step| [format!("before_{step}"), (*step).to_owned(), format!("after_{step}")]).collect()
}

/// The hooks of these steps.
fn hooks(steps: &[&str]) -> Vec<String> {
    wrapped(steps).into_iter().filter(|name| !steps.contains(&name.as_str())).collect()
}

fn add_hooks(project: &Project<'_>, guest: &str, file: &str) {
    project.copy_hooks(&places::guest(guest).unwrap(), file).unwrap();
}

/// The steps and hooks that a run's log shows, in order. No other line of it begins with such a word.
fn carried_out(output: &Output) -> Vec<&str> {
    let first_words = output.lines().into_iter().filter_map(|line| line.split(' ').next());
    first_words.filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect()
}

/// The hooks that recorded their call, each with its env record.
fn recorded(output: &Output) -> Vec<(String, Value)> {
    let calls = output.lines().into_iter().filter_map(|line| line.trim_start().strip_prefix("recorded "));
    calls
        .map(|call| {
            let (hook, env) = call.split_once(' ').unwrap();
            (hook.to_owned(), serde_json::from_str(env).unwrap())
        })
        .collect()
}

fn names(recorded: &[(String, Value)]) -> Vec<&str> {
    recorded.iter().map(|(hook, _)| hook.as_str()).collect()
}

/// The steps and hooks in a run's record.
fn in_record(record: &Value) -> Vec<&str> {
    record["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect()
}

#[test]
fn the_first_push_deploys_and_calls_every_hook_of_deploy() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    add_hooks(&hello, "recorder-deploy", "deploy.wasm");
    // These are for another pipeline; if they were called, they would end the run.
    add_hooks(&hello, "failing", "upgrade.wasm");
    hello.commit("Hooks").unwrap();

    let output = hello.deploy().unwrap();

    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    assert_eq!(carried_out(&output), wrapped(&DEPLOY));
    let recorded = recorded(&output);
    assert_eq!(names(&recorded), hooks(&DEPLOY));
    let (_, first) = &recorded[0];
    assert_eq!(first["task"], "deploy");
    assert_eq!(first["previous_version"], Value::Null);
    assert!(recorded.iter().all(|(_, env)| env == first));
    assert!(output.says("gatling: hello 0.1.0 is serving"), "{output:?}");
    assert!(output.says("11 steps, 22 hooks"), "{output:?}");

    let runs = sandbox.runs("hello").unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(in_record(&runs[0]), wrapped(&DEPLOY));
    assert!(runs[0]["steps"].as_array().unwrap().iter().all(|step| step["ok"] == true));
    assert_eq!((&runs[0]["task"], &runs[0]["outcome"]), (&json!("deploy"), &json!("succeeded")));
    assert_eq!((&runs[0]["commit"], &runs[0]["version"]), (&json!(hello.head().unwrap()), &json!("0.1.0")));
    assert!(runs[0]["finished_at"].is_string());
}

#[test]
fn in_an_upgrade_every_hook_gets_the_same_env_record_in_its_own_instance() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    hello.set_version("0.2.0").unwrap();
    add_hooks(&hello, "recorder", "upgrade.wasm");
    // These are for another pipeline; if they were called, they would end the run.
    add_hooks(&hello, "failing", "deploy.wasm");
    hello.commit("0.2.0, with hooks").unwrap();

    let output = hello.deploy().unwrap();

    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
    assert_eq!(carried_out(&output), wrapped(&UPGRADE));
    let recorded = recorded(&output);
    assert_eq!(names(&recorded), hooks(&UPGRADE));
    // Each hook changes its env record after it has recorded it.
    let (_, first) = &recorded[0];
    assert!(recorded.iter().all(|(_, env)| env == first));
    let lines = output.lines();
    let instances: Vec<_> = lines.iter().filter(|line| line.contains("calls in this instance")).collect();
    assert_eq!(instances, ["    calls in this instance: 1"; 16].iter().collect::<Vec<_>>());
    let called: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix("    called ")).collect();
    let expected =
        UPGRADE.iter().flat_map(|step| ["before", "after"].map(|phase| format!("{phase} {step}, attempt 1")));
    assert_eq!(called, expected.collect::<Vec<_>>());
    assert_env_record(&sandbox, &hello, first);
}

/// Asserts that `env` is the env record of the upgrade from 0.1.0 to 0.2.0.
fn assert_env_record(sandbox: &Sandbox, hello: &Project<'_>, env: &Value) {
    let (home, etc, nginx) = (sandbox.home(), sandbox.etc(), sandbox.nginx_dir());
    let (build, deploy) = (home.join("hello"), home.join("deployments/hello"));
    let mut expected = json!({
        "available_port": env["available_port"],
        "available_tasks": env["available_tasks"],
        "build_dir": build,
        "built_release_path": build.join("_build/prod/rel/hello"),
        "deploy_callback_module": build.join("deploy.wasm"),
        "deploy_dir": deploy,
        "deploy_path": deploy.join("hello.tar.gz"),
        "domains": ["www.example.com", "hello.example.com"],
        "etc_dir": etc,
        "etc_path": etc.join("hello"),
        "git_hook_path": build.join(".git/hooks/post-update"),
        "nginx_available_path": nginx.join("sites-available/hello"),
        "nginx_dir": nginx,
        "nginx_enabled_path": nginx.join("sites-enabled/hello"),
        "nginx_template": std::fs::read_to_string(nginx.join("sites-enabled/hello")).unwrap(),
        "project": "hello",
        "releases": ["0.1.0"],
        "script_template": std::fs::read_to_string(etc.join("hello")).unwrap(),
        "upgrade_callback_module": build.join("upgrade.wasm"),
        "upgrade_dir": deploy.join("releases/0.2.0"),
        "upgrade_path": deploy.join("releases/0.2.0/hello"),
        "version": "0.2.0",
        "task": "upgrade",
        "commit": hello.head().unwrap(),
        "branch": "main",
        "previous_version": "0.1.0",
        "strategy": "blue-green",
        "unload_callback_module": null,
    });
    assert_eq!(*env, expected);

    let port = env["available_port"].as_u64().unwrap().try_into().unwrap();
    assert_eq!(sandbox.get_direct(port, "/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
    let tasks: Vec<&str> = env["available_tasks"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for task in ["compile", "release", "assets.deploy", "hello.digest"] {
        assert!(tasks.contains(&task), "{task} in {tasks:?}");
    }

    // `gatling env` describes the next upgrade.
    let next = sandbox.run(&["env", "hello", "--json"]).unwrap().expect_success().unwrap().stdout;
    expected["v"] = json!(1);
    expected["releases"] = json!(["0.1.0", "0.2.0"]);
    expected["previous_version"] = json!("0.2.0");
    expected["upgrade_dir"] = json!(deploy.join("releases/0.2.0+2"));
    expected["upgrade_path"] = json!(deploy.join("releases/0.2.0+2/hello"));
    let next: Value = serde_json::from_str(&next).unwrap();
    // Releases take turns at two ports.
    assert_ne!(next["available_port"], expected["available_port"]);
    expected["available_port"] = next["available_port"].clone();
    assert_eq!(next, expected);
}

#[test]
fn after_a_fallback_hooks_get_the_strategy_that_was_used() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    sandbox.let_nodes_connect("hello").unwrap();
    hello.replace("gatling.toml", "[health]", "strategy = \"hot\"\n\n[health]").unwrap();
    hello.commit("Upgraded in place").unwrap();
    hello.deploy().unwrap();
    // Only the running node finds out that this cannot be done in place.
    hello.replace("lib/hello/application.ex", "children = [", "children = [{Agent, fn -> 1 end}, ").unwrap();
    hello.set_version("0.2.0").unwrap();
    add_hooks(&hello, "recorder", "upgrade.wasm");
    add_hooks(&hello, "recorder-rollback", "rollback.wasm");
    hello.commit("0.2.0, with another child").unwrap();

    let upgrade = recorded(&hello.deploy().unwrap());
    let (planned, done) = (env_of(&upgrade, "before_upgrade_service"), env_of(&upgrade, "after_upgrade_service"));
    assert_eq!((&planned["strategy"], &done["strategy"]), (&json!("hot"), &json!("blue-green")));
    assert_eq!(env_of(&upgrade, "after_configure_nginx"), done);
    assert_eq!(planned["upgrade_dir"], done["upgrade_dir"]);
    let serves_at = |env: &Value| sandbox.get_direct(env["available_port"].as_u64().unwrap().try_into().unwrap(), "/");
    assert_eq!(serves_at(done).unwrap(), (200, "hello 0.2.0\n".to_owned()));
    let events = sandbox.events("hello").unwrap();
    let fell_back = events.iter().find(|event| event["event"] == "fell_back").unwrap();
    assert_eq!(fell_back["strategy"], "blue-green");
    let why = fell_back["why"].as_str().unwrap();
    assert!(why.starts_with("Hello.Application has changed"), "{why}");

    // This one can, but not the way back to a release that is not whole.
    hello.set_version("0.3.0").unwrap();
    hello.commit("0.3.0").unwrap();
    let output = hello.deploy().unwrap();
    assert!(output.says("0.3.0 runs in the same process as before"), "{output:?}");
    let release = sandbox.home().join("deployments/hello/releases/0.2.0");
    std::fs::remove_file(release.join("hello/releases/0.2.0/hello.rel")).unwrap();

    let rollback = recorded(&sandbox.run(&["rollback", "hello"]).unwrap().expect_success().unwrap());
    let (planned, done) = (env_of(&rollback, "before_rollback_service"), env_of(&rollback, "after_rollback_service"));
    assert_eq!((&planned["strategy"], &done["strategy"]), (&json!("hot"), &json!("blue-green")));
    let copy = sandbox.home().join("deployments/hello/releases/0.2.0+2");
    let fell_back = sandbox.events("hello").unwrap().into_iter().find(|event| event["event"] == "fell_back").unwrap();
    assert_eq!(fell_back["release"], "0.2.0+2");
    assert_eq!((&planned["upgrade_dir"], &done["upgrade_dir"]), (&json!(release), &json!(copy)));
    assert_eq!(serves_at(done).unwrap(), (200, "hello 0.2.0\n".to_owned()));
}

/// The env record that a hook has got.
fn env_of<'a>(recorded: &'a [(String, Value)], hook: &str) -> &'a Value {
    let (_, env) = recorded.iter().find(|(other, _)| other == hook).unwrap();
    env
}

#[test]
fn rollback_calls_its_hooks_which_get_the_older_release() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    let first = hello.head().unwrap();
    hello.set_version("0.2.0").unwrap();
    add_hooks(&hello, "recorder-rollback", "rollback.wasm");
    hello.commit("0.2.0, with hooks").unwrap();
    hello.deploy().unwrap();

    let output = sandbox.run(&["rollback", "hello"]).unwrap().expect_success().unwrap();

    assert_eq!(carried_out(&output), wrapped(&ROLLBACK));
    let recorded = recorded(&output);
    assert_eq!(names(&recorded), hooks(&ROLLBACK));
    let (_, env) = &recorded[0];
    assert!(recorded.iter().all(|(_, other)| other == env));
    let upgrade_dir = sandbox.home().join("deployments/hello/releases/0.1.0");
    for (field, value) in [
        ("task", json!("rollback")),
        ("version", json!("0.1.0")),
        ("previous_version", json!("0.2.0")),
        ("commit", json!(first)),
        ("strategy", json!("blue-green")),
        ("upgrade_dir", json!(upgrade_dir)),
        ("domains", json!(["www.example.com", "hello.example.com"])),
    ] {
        assert_eq!(env[field], value, "{field}");
    }
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    let port = env["available_port"].as_u64().unwrap().try_into().unwrap();
    assert_eq!(sandbox.get_direct(port, "/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    let runs = sandbox.runs("hello").unwrap();
    assert_eq!(in_record(runs.last().unwrap()), wrapped(&ROLLBACK));

    // 0.2.0 is marked now: a rollback goes there only if it is named.
    let plan = sandbox.run(&["plan", "hello", "rollback"]).unwrap();
    assert!(plan.says("there is no older release that served well"), "{plan:?}");
    let plan = sandbox.run(&["plan", "hello", "rollback", "--to", "0.2.0"]).unwrap().expect_success().unwrap();
    assert!(plan.says("rollback of hello 0.2.0 would do this:"), "{plan:?}");
    let plan = sandbox.run(&["plan", "hello", "--to", "0.2.0"]).unwrap();
    assert!(plan.says("are for a rollback: gatling plan hello rollback"), "{plan:?}");
    hello.set_version("0.3.0").unwrap();
    hello.commit("0.3.0").unwrap();
    hello.deploy().unwrap();
    let plan = sandbox.run(&["plan", "hello", "rollback"]).unwrap().expect_success().unwrap();
    for line in [
        "rollback of hello 0.1.0 would do this:",
        "before_rollback_service  (rollback.wasm)",
        "mark 0.3.0 as rolled back to 0.1.0",
    ] {
        assert!(plan.says(line), "{line}: {plan:?}");
    }
}

/// Deploys 0.1.0, and then 0.2.0, with a hook for a rollback that traps.
fn deploy_with_trap(sandbox: &Sandbox, hook: &str) {
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    hello.set_version("0.2.0").unwrap();
    let hooks = sandbox.root().join("rollback.wasm");
    std::fs::write(&hooks, component(&format!("{USE} export {hook}: func(env: env);"), &contract())).unwrap();
    hello.copy_hooks(&hooks, "rollback.wasm").unwrap();
    hello.commit("0.2.0, with a hook that traps").unwrap();
    hello.deploy().unwrap();
}

#[test]
fn a_rollback_hook_that_fails_stops_the_rollback_and_visitors_notice_nothing() {
    let sandbox = Sandbox::new().unwrap();
    deploy_with_trap(&sandbox, "before-rollback-service");

    let output = sandbox.run(&["rollback", "hello"]).unwrap();

    assert_eq!(output.status.code(), Some(1));
    for line in ["the hook before_rollback_service", "hello 0.2.0 is serving", "gatling rollback hello"] {
        assert!(output.says(line), "{line}: {output:?}");
    }
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));

    let output = sandbox.run(&["rollback", "hello", "--no-hooks"]).unwrap().expect_success().unwrap();
    assert!(!output.says("before_rollback_service"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn a_hook_that_fails_after_the_way_back_is_not_answered_with_going_back_further() {
    let sandbox = Sandbox::new().unwrap();
    deploy_with_trap(&sandbox, "after-rollback-service");

    let output = sandbox.run(&["rollback", "hello"]).unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert!(output.says("hello 0.1.0 is serving") && !output.says("gatling rollback hello"), "{output:?}");
}

#[test]
fn a_rollback_works_although_the_projects_settings_are_broken() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    hello.deploy().unwrap();
    hello.write("gatling.toml", "[health\n").unwrap();
    hello.commit("A typo").unwrap();
    assert!(hello.push().unwrap().says("gatling.toml"));

    let output = sandbox.run(&["rollback", "hello", "--no-soak"]).unwrap().expect_success().unwrap();

    assert!(output.says("hello 0.1.0 is serving"), "{output:?}");
}

#[test]
fn unload_calls_its_hooks_and_leaves_nothing_running_or_installed() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    add_hooks(&hello, "recorder-unload", "unload.wasm");
    hello.commit("Hooks").unwrap();
    hello.deploy().unwrap();
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    let (build, deploy) = (sandbox.home().join("hello"), sandbox.home().join("deployments/hello"));
    assert!(!processes::of(&deploy).is_empty(), "the app runs");

    let output = sandbox.run(&["unload", "hello", "--yes"]).unwrap().expect_success().unwrap();

    assert_eq!(carried_out(&output), wrapped(&UNLOAD));
    let recorded = recorded(&output);
    assert_eq!(names(&recorded), hooks(&UNLOAD));
    let (_, first) = &recorded[0];
    assert_eq!((&first["task"], &first["version"]), (&json!("unload"), &json!("0.1.0")));
    assert!(recorded.iter().all(|(_, env)| env == first));
    let nginx = sandbox.nginx_dir();
    let site = [nginx.join("sites-available/hello"), nginx.join("sites-enabled/hello")];
    for path in [build, deploy.clone(), sandbox.etc().join("hello")].iter().chain(&site) {
        assert!(path.symlink_metadata().is_err(), "{} is still there", path.display());
    }
    assert_eq!(processes::of(&deploy), []);
    sandbox.wait_for_answer(404, "no project is served under this name\n").unwrap();
    let runs = sandbox.runs("hello").unwrap();
    assert_eq!(in_record(runs.last().unwrap()), wrapped(&UNLOAD));
}

#[test]
fn only_the_exported_hooks_are_called_and_none_without_a_hooks_file() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();

    let output = hello.deploy().unwrap();

    assert_eq!(carried_out(&output), DEPLOY);
    assert!(!output.says("hooks:") && !output.says("wasm"), "{output:?}");

    hello.set_version("0.2.0").unwrap();
    add_hooks(&hello, "few", "upgrade.wasm");
    hello.commit("0.2.0, with two hooks").unwrap();
    let output = hello.deploy().unwrap();

    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
    assert_eq!(
        carried_out(&output),
        [
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
        ]
    );
    assert!(output.says("building the assets of hello 0.2.0"), "{output:?}");
    assert!(output.says("told #ops that hello 0.2.0 is up"), "{output:?}");
    assert!(output.says("8 steps, 2 hooks"), "{output:?}");
}
