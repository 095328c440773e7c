//! Invalid hooks don't compile, and the compiler reports the error at the right place.
//!
//! Each file in `tests/misuse` is compiled unchanged. A comment `//~ TEXT` in it means that an error with this text is
//! reported on its line. These texts are the SDK's own: rustc's texts differ between versions.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A reported or expected error: its line, and its text or a part of it.
type Report = (usize, String);

#[test]
fn a_pub_fn_that_is_not_a_hook_is_reported_with_the_nearest_hook() {
    check("unknown_name");
}

#[test]
fn wrong_parameters_are_reported_at_the_parameter() {
    check("parameters");
}

#[test]
fn a_wrong_result_is_reported_at_the_result() {
    check("result");
}

#[test]
fn a_hook_that_gatling_could_not_call_is_reported() {
    check("modifiers");
}

#[test]
fn a_module_without_hooks_is_reported() {
    check("module");
}

/// Compiles one file, and compares its errors with those that its comments expect.
fn check(case: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/misuse/{case}.rs"));
    let expected = expected(&fs::read_to_string(&file).unwrap());
    let reported = compile(&file);

    let matches =
        |(line, text): &Report, (reported_line, message): &Report| line == reported_line && message.contains(text);
    for expected_error in &expected {
        assert!(
            reported.iter().any(|report| matches(expected_error, report)),
            "{case}.rs:{}: `{}` is not reported, only: {reported:#?}",
            expected_error.0,
            expected_error.1
        );
    }
    for report in &reported {
        assert!(
            expected.iter().any(|expected_error| matches(expected_error, report)),
            "{case}.rs:{}: unexpected error: {}",
            report.0,
            report.1
        );
    }
}

fn expected(source: &str) -> Vec<Report> {
    let lines = source.lines().enumerate();
    lines.filter_map(|(index, line)| Some((index + 1, line.split_once("//~ ")?.1.into()))).collect()
}

/// The errors that rustc reports for a crate that consists of this file.
fn compile(file: &Path) -> Vec<Report> {
    let sdk = sdk();
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata"])
        .args(["--error-format=json", "-o"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("misuse.rmeta"))
        .arg("--extern")
        .arg(format!("gatling_hooks={}", sdk.display()))
        .arg("-L")
        .arg(format!("dependency={}", sdk.with_file_name("deps").display()))
        .arg(file)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{} compiles", file.display());
    let messages = String::from_utf8(output.stderr).unwrap();
    messages.lines().filter_map(report).collect()
}

/// The error in a line of rustc's JSON, unless it has no position, such as "aborting due to ...".
fn report(line: &str) -> Option<Report> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["level"] != "error" {
        return None;
    }
    let spans = message["spans"].as_array()?;
    let place = spans.iter().find(|span| span["is_primary"] == true)?;
    let line = place["line_start"].as_u64()?;
    Some((line as usize, message["message"].as_str()?.into()))
}

/// The path of the compiled SDK. Building it is quick, because the tests depend on it.
fn sdk() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--package=gatling-hooks", "--lib", "--offline"])
        .arg("--message-format=json")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let messages = String::from_utf8(output.stdout).unwrap();
    let mut artifacts = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let ours = message["target"]["name"] == "gatling_hooks";
        let files = message["filenames"].as_array()?.iter();
        let files = files.filter_map(Value::as_str).map(PathBuf::from);
        files.filter(|_| ours).find(|file| file.extension().is_some_and(|e| e == "rlib"))
    });
    artifacts
        .next_back()
        .unwrap_or_else(|| panic!("cargo build printed no library: {}", String::from_utf8_lossy(&output.stderr)))
}
