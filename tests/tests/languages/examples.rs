//! The examples: the same hooks in every language have the same output and effects.

use std::fs;

use gatling_tests::{Output, Sandbox, places};

/// What Gatling itself says in the place of a hook whose code isn't ready yet.
const WAITING: &str = "compiling upgrade.wasm: ";

/// The hooks' lines in the output of a push, in order.
fn said_by_hooks(output: &Output) -> Vec<String> {
    let mut said = Vec::new();
    let mut in_hook = false;
    for line in output.lines() {
        if !line.starts_with(' ') {
            in_hook = line.ends_with("(upgrade.wasm)");
        } else if in_hook && line.starts_with("    ") && !line.contains(WAITING) {
            said.push(line.trim_start().to_owned());
        }
    }
    said
}

fn has_the_same_output_and_effects(language: &str) {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.deploy().unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.write("gatling.toml", "[hooks.grants]\nrun = [\"sh\"]\nread = [\".\"]\n").unwrap();
    hello.write("CHANGES", "Hello in six languages\nand more\n").unwrap();
    hello.copy_hooks(&places::guest(language).unwrap(), "upgrade.wasm").unwrap();
    hello.commit("Hooks").unwrap();

    let output = hello.deploy().unwrap();

    let commit = hello.head().unwrap();
    let expected = [
        &format!("hello 0.1.0 -> 0.2.0 (main {})", &commit[..7]),
        "served at www.example.com, hello.example.com",
        "$ sh script/build_assets.sh  (with VERSION, COMMIT)",
        "wrote assets/build.txt",
        "assets: wrote assets/build.txt",
        "changes: Hello in six languages",
    ];
    assert_eq!(said_by_hooks(&output), expected, "{output:?}");
    assert!(sandbox.get("/assets/build.txt").unwrap().1.contains(&format!("version 0.2.0\ncommit {commit}\n")));

    // With a deliberate failure, on_failure logs it.
    hello.set_version("0.3.0").unwrap();
    hello.write("FAIL", "").unwrap();
    hello.commit("A failure").unwrap();
    let output = hello.push().unwrap();
    let said = said_by_hooks(&output);
    let expected =
        ["told #ops: hello 0.3.0 failed at before_upgrade_service", "it had not taken over, serving now: 0.2.0"];
    assert_eq!(said[said.len() - 2..], expected, "{output:?}");
    hello.remove("FAIL").unwrap();

    // Called in the project, without the grant to run the script: each handles that with the same messages.
    let run = |hook: &str| {
        let mut command = sandbox.gatling(&["hooks", "run", "upgrade.wasm", hook]);
        Output::of(command.current_dir(hello.dir())).unwrap()
    };
    hello.write("gatling.toml", "[hooks.grants]\nread = [\".\"]\n").unwrap();
    let output = run("before_mix_digest").expect_success().unwrap();
    assert!(output.says("warning: the assets are not built: hooks may not run \"sh\": to grant it,"), "{output:?}");

    hello.remove("CHANGES").unwrap();
    let output = run("after_mix_release").expect_success().unwrap();
    assert!(output.says("there is no file CHANGES"), "{output:?}");

    run("before_upgrade_service").expect_success().unwrap();
    hello.write("FAIL", "").unwrap();
    let output = run("before_upgrade_service");
    assert!(output.status.code() == Some(1) && output.says("it returned an error: told to fail"), "{output:?}");

    let failure = sandbox.root().join("failure.json");
    let given = r#"{"step": null, "traffic_moved": true, "serving": null}"#;
    fs::write(&failure, given).unwrap();
    let mut command = sandbox.gatling(&["hooks", "run", "upgrade.wasm", "on_failure", "--failure"]);
    let output = Output::of(command.arg(&failure).current_dir(hello.dir())).unwrap().expect_success().unwrap();
    for words in ["failed at the checks", "it had taken over, serving now: nothing"] {
        assert!(output.says(words), "{output:?}");
    }

    hello.write("gatling.toml", "[hooks.grants]\nrun = [\"sh\"]\n").unwrap();
    hello.write("script/build_assets.sh", "exit 3\n").unwrap();
    let output = run("before_mix_digest");
    let error = "it returned an error: building the assets: sh ended with status 3";
    assert!(output.status.code() == Some(1) && output.says(error), "{output:?}");
}

#[test]
fn the_example_in_rust_behaves_like_the_others() {
    has_the_same_output_and_effects("rust");
}

#[test]
fn the_example_in_javascript_behaves_like_the_others() {
    has_the_same_output_and_effects("js");
}

#[test]
fn the_example_in_python_behaves_like_the_others() {
    has_the_same_output_and_effects("python");
}

#[test]
fn the_example_in_c_behaves_like_the_others() {
    has_the_same_output_and_effects("c");
}

#[test]
fn the_example_in_go_behaves_like_the_others() {
    has_the_same_output_and_effects("go");
}

#[test]
fn the_example_in_zig_behaves_like_the_others() {
    has_the_same_output_and_effects("zig");
}
