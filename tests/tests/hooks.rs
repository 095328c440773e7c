//! What hooks can do, and how a run ends if one of them fails.

use std::fs;

use gatling_tests::component::{USE, component_around, contract};
use gatling_tests::{Output, Project, Sandbox, places};
use serde_json::json;

fn add_hooks(project: &Project<'_>, guest: &str, file: &str) {
    project.copy_hooks(&places::guest(guest).unwrap(), file).unwrap();
}

/// Pushes 0.1.0, and then 0.2.0 with `guest` as its upgrade.wasm.
fn upgrade_with(hello: &Project<'_>, guest: &str) -> Output {
    hello.deploy().unwrap();
    hello.set_version("0.2.0").unwrap();
    add_hooks(hello, guest, "upgrade.wasm");
    hello.commit("0.2.0, with hooks").unwrap();
    hello.push().unwrap()
}

/// Asserts that a run ended at `hook`, and that 0.1.0 still serves.
fn assert_ended_at(sandbox: &Sandbox, hook: &str, step: &str) {
    let runs = sandbox.runs("hello").unwrap();
    let run = runs.last().unwrap();
    assert_eq!((&run["task"], &run["outcome"]), (&json!("upgrade"), &json!("failed")));
    let steps = run["steps"].as_array().unwrap();
    let (last, others) = steps.split_last().unwrap();
    assert_eq!((&last["name"], &last["hook"], &last["ok"]), (&json!(hook), &json!(true), &json!(false)));
    assert!(others.iter().all(|step| step["ok"] == true));
    let error = run["error"].as_str().unwrap();
    assert!(error.contains(hook) && error.contains(step) && error.contains("upgrade.wasm"), "{error}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn a_hook_that_returns_an_error_ends_the_run_and_the_old_version_keeps_serving() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();

    let output = upgrade_with(&hello, "failing");

    let failure = "upgrade of hello failed: the hook before_mix_release of upgrade.wasm, before the step mix_release";
    assert!(output.says(failure), "{output:?}");
    assert!(output.says("it returned an error: not on a Friday"), "{output:?}");
    assert!(output.says("hello 0.1.0 is serving."), "{output:?}");
    // The hook runs before the step, which never begins.
    assert!(!output.lines().iter().any(|line| line.starts_with("mix_release")), "{output:?}");
    assert_ended_at(&sandbox, "before_mix_release", "mix_release");

    let again = sandbox.run(&["upgrade", "hello"]).unwrap();

    assert_eq!(again.status.code(), Some(1));
    assert!(again.says("not on a Friday"), "{again:?}");
    assert_ended_at(&sandbox, "before_mix_release", "mix_release");

    // The failure does not affect the next push.
    hello.remove("upgrade.wasm").unwrap();
    hello.commit("No hooks").unwrap();
    hello.deploy().unwrap();
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
}

#[test]
fn a_hook_that_traps_ends_the_run_with_its_last_output_and_a_backtrace() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();

    let output = upgrade_with(&hello, "trapping");

    assert!(output.says("the hook after_mix_compile of upgrade.wasm, after the step mix_compile"), "{output:?}");
    assert!(output.says("it trapped"), "{output:?}");
    assert!(output.says("the disk is made of cheese"), "{output:?}");
    assert!(output.says("deep_helper"), "{output:?}");
    assert_ended_at(&sandbox, "after_mix_compile", "mix_compile");
}

#[test]
fn a_hook_runs_granted_programs_and_gets_an_error_for_others() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.write("gatling.toml", "[hooks.grants]\nrun = [\"sh\", \"no-such-program\"]\n").unwrap();
    add_hooks(&hello, "runner", "deploy.wasm");
    hello.commit("Hooks that run programs").unwrap();

    let output = hello.deploy().unwrap();

    for line in [
        "    printed to standard output",
        "    printed to standard error",
        "    $ sh -c 'echo one; echo two >&2; exit 3'",
        "    one",
        "    two",
        r#"    status 3, output "one\ntwo\n""#,
        "    warning: no-such-program not found: there is no program no-such-program on the PATH",
        "    $ cat /etc/passwd",
    ] {
        assert!(output.lines().contains(&line), "{line:?} in {output:?}");
    }
    let denied = r#"warning: cat denied: hooks may not run "cat": to grant it, write into gatling.toml, under [hooks.grants]: run = ["sh", "no-such-program", "cat"]"#;
    assert!(output.says(denied), "{output:?}");
    assert!(!output.says("root:"), "cat was run: {output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn a_hook_runs_only_programs_that_the_project_and_the_operator_grant() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.write("gatling.toml", "").unwrap();
    add_hooks(&hello, "runner", "deploy.wasm");
    hello.commit("Hooks without grants").unwrap();

    let output = hello.push().unwrap();

    assert!(output.says(r#"under [hooks.grants]: run = ["sh"]"#), "{output:?}");
    assert_not_run(&sandbox, &output);

    // The project cannot grant more than the operator allows.
    let operators = fs::read_to_string(sandbox.config()).unwrap() + "[hooks.grants]\nrun = [\"npm\"]\n";
    fs::write(sandbox.config(), operators).unwrap();
    hello.write("gatling.toml", "[hooks.grants]\nrun = [\"sh\"]\n").unwrap();
    hello.commit("Hooks with a grant").unwrap();
    let output = hello.push().unwrap();

    let denied = format!("{}, under [hooks.grants]: run = [\"npm\", \"sh\"]", sandbox.config().display());
    assert!(output.says(r#"hooks may not run "sh" on this server"#) && output.says(&denied), "{output:?}");
    assert_not_run(&sandbox, &output);
}

/// Asserts that `sh` was denied, and that the hook that needs it has ended the run.
fn assert_not_run(sandbox: &Sandbox, output: &Output) {
    assert!(!output.lines().contains(&"    one"), "sh was run: {output:?}");
    assert!(output.says("the hook before_mix_compile of deploy.wasm"), "{output:?}");
    assert!(output.says("hello is not deployed: no release is running"), "{output:?}");
    let runs = sandbox.runs("hello").unwrap();
    assert_eq!(runs.last().unwrap()["outcome"], "failed");
}

/// A component with hooks of `deploy`. `after_start_service` does what `body` says, in WebAssembly's text format.
fn deploy_hooks(body: &str) -> Vec<u8> {
    let names = ["after-start-service", "before-configure-nginx", "after-configure-nginx"];
    let hook = |name: &&str| {
        let body = if *name == names[0] { body } else { "" };
        format!("(func (export \"{name}\") (param i32) {body})")
    };
    let module = format!(
        "(module (memory (export \"memory\") 1) {}
          (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))",
        names.iter().map(hook).collect::<String>()
    );
    let exports: String = names.iter().map(|name| format!("export {name}: func(env: env);")).collect();
    component_around(&module, &format!("{USE} {exports}"), &[&contract()])
}

#[test]
fn a_first_deployment_that_failed_after_it_started_the_app_is_repeated_with_all_its_hooks() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    fs::write(hello.dir().join("deploy.wasm"), deploy_hooks("unreachable")).unwrap();
    hello.commit("A hook that traps").unwrap();
    let output = hello.push().unwrap();
    assert!(output.says("deploy of hello failed: the hook after_start_service of deploy.wasm"), "{output:?}");
    assert!(output.says("`gatling deploy hello`"), "{output:?}");
    assert!(sandbox.run(&["upgrade", "hello"]).unwrap().says("run it again with `gatling deploy hello`"));

    fs::write(hello.dir().join("deploy.wasm"), deploy_hooks("")).unwrap();
    hello.commit("A hook that does not").unwrap();
    let output = hello.deploy().unwrap();

    assert!(output.says("  deploy"), "{output:?}");
    for hook in ["after_start_service", "before_configure_nginx", "after_configure_nginx"] {
        assert!(output.says(&format!("{hook}  (deploy.wasm)")), "{hook}: {output:?}");
    }
    let current = fs::read_link(sandbox.home().join("deployments/hello/current")).unwrap();
    assert_eq!(current.to_str(), Some("releases/0.1.0+2"), "the release that served is not written again");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    assert!(hello.deploy().unwrap().says("upgrade from 0.1.0+2"));
}
