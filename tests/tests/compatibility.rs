//! Hooks that were built against older contracts still work.

use gatling_tests::server::{Run, Server, Shared};
use gatling_tests::{UPGRADE, places};
use serde_json::Value;

static SERVER: Shared = Shared::new();

/// The script that the hooks in C and in JavaScript run.
const SCRIPT: &str = r#"printf 'from %s in %s' "$WHO" "${PWD##*/}"; exit 3"#;

/// Pushes a version whose upgrade hooks were built against the contract 1.0.0 in this language.
fn push(server: &Server, language: &str, version: &str) -> Run {
    let file = places::workspace().join("tests/compatibility/1.0.0").join(language).with_extension("wasm");
    server
        .hello
        .write("gatling.toml", "[health]\npath = \"/health\"\n\n[hooks.grants]\nrun = [\"sh\", \"no-such-program\"]\n")
        .unwrap();
    server.hello.set_version(version).unwrap();
    server.hello.copy_hooks(&file, "upgrade.wasm").unwrap();
    server.push().unwrap()
}

/// The lines that a hook wrote, and its outcome.
fn output_of<'a>(run: &'a Run, hook: &str) -> Vec<&'a str> {
    let mut lines =
        run.output.lines().into_iter().skip_while(|line| *line != format!("{hook}  (upgrade.wasm)")).skip(1);
    // A line with an empty text is trimmed to nothing.
    let is_its = |line: &&str| line.is_empty() || line.starts_with("    ");
    let said: Vec<_> = lines.by_ref().take_while(is_its).map(|line| line.get(4..).unwrap_or_default()).collect();
    assert!(!said.is_empty(), "{hook} said nothing:\n{}", run.text());
    said
}

/// The summary of the latest run.
fn record(server: &Server) -> Value {
    server.sandbox.runs("hello").unwrap().pop().unwrap()
}

/// Asserts that hooks can use all of the contract 1.0.0.
fn assert_supports_all_of_1_0_0(language: &str) {
    let server = SERVER.lock();

    let run = push(&server, language, "0.2.0").expect_code(0).unwrap();

    let record = record(&server);
    let mut said = output_of(&run, "before_mix_deps_get");
    // On a slow machine, its code may not be compiled yet.
    said.retain(|line| !line.starts_with("compiling upgrade.wasm: "));
    let (started, said): (Vec<_>, Vec<_>) = said.into_iter().partition(|line| line.starts_with("started at "));
    let build_dir = server.build_dir().display().to_string();
    let denied = "hooks may not run \"cat\": to grant it, write into gatling.toml, under [hooks.grants]: run = [\"sh\", \"no-such-program\", \"cat\"]";
    let expected = [
        "a line".to_owned(),
        "and another".to_owned(),
        "warning: a warning".to_owned(),
        "error: an error".to_owned(),
        "project hello, version 0.2.0, task upgrade, branch main, strategy blue-green".to_owned(),
        "previous version 0.1.0, deploy hooks none".to_owned(),
        "domains www.example.com hello.example.com".to_owned(),
        format!("build dir {build_dir}"),
        "a port: yes, a commit of 40 digits".to_owned(),
        "before mix_deps_get, attempt 1".to_owned(),
        format!("run {}", record["id"].as_str().unwrap()),
        "failed: nothing".to_owned(),
        format!("$ sh -c '{}'  (in {build_dir}/lib)  (with WHO)", SCRIPT.replace('\'', r"'\''")),
        "from a hook in lib".to_owned(),
        "status 3, output from a hook in lib".to_owned(),
        String::new(),
        format!("$ no-such-program -c ''  (in {build_dir}/lib)  (with WHO)"),
        "not found: there is no program no-such-program on the PATH".to_owned(),
        format!("$ cat -c ''  (in {build_dir}/lib)  (with WHO)"),
        format!("denied: {denied}"),
        format!("denied: {denied}"),
    ];
    assert_eq!(said, expected, "{language}");
    let [started] = &started[..] else { panic!("{started:?}") };
    let milliseconds: u64 = started["started at ".len()..].parse().unwrap();
    assert!(milliseconds > 1_700_000_000_000, "{started}");
    assert_eq!(output_of(&run, "after_configure_nginx"), ["after configure_nginx"]);
    let log = server.sandbox.log_of_run("hello").unwrap();
    assert!(log.contains("a line to debug with") && !run.text().contains("a line to debug with"), "{log}");

    let run = push(&server, language, "0.3.0-refused").expect_code(1).unwrap();

    assert!(run.text().contains("it returned an error: this version is refused"), "{}", run.text());
    assert!(run.text().contains("the hook before_mix_compile of upgrade.wasm"), "{}", run.text());
}

#[test]
fn hooks_in_c_can_use_all_of_the_contract_1_0_0() {
    assert_supports_all_of_1_0_0("c");
}

#[test]
fn hooks_in_javascript_can_use_all_of_the_contract_1_0_0() {
    assert_supports_all_of_1_0_0("javascript");
}

#[test]
fn hooks_in_rust_are_called_around_every_step_with_the_env_of_the_contract_1_0_0() {
    let server = SERVER.lock();

    let run = push(&server, "rust", "0.2.0").expect_code(0).unwrap();

    for step in UPGRADE {
        for phase in ["before", "after"] {
            let hook = format!("{phase}_{step}");
            let [recorded, calls, called] = output_of(&run, &hook)[..] else { panic!("{hook}:\n{}", run.text()) };
            let env = recorded.strip_prefix(&format!("recorded {hook} ")).unwrap();
            let env: Value = serde_json::from_str(env).unwrap();
            assert_eq!(env.as_object().unwrap().len(), 28, "{env}");
            assert_eq!((&env["version"], &env["previous_version"]), (&"0.2.0".into(), &"0.1.0".into()));
            assert_eq!(env["build_dir"], server.build_dir().display().to_string());
            assert_eq!(calls, "calls in this instance: 1");
            assert_eq!(called, format!("called {phase} {step}, attempt 1"));
        }
    }
}

#[test]
fn hooks_that_only_import_types_of_the_contract_1_0_0_are_called() {
    let server = SERVER.lock();

    let run = push(&server, "types", "0.2.0").expect_code(1).unwrap();

    assert!(run.text().contains("hooks: upgrade.wasm with before_mix_deps_get, before_mix_compile"), "{}", run.text());
    assert!(run.text().contains("\nmix_deps_get\n"), "the first hook failed:\n{}", run.text());
    assert!(run.text().contains("it returned an error: said with types alone"), "{}", run.text());
}
