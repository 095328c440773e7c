//! The example: hooks of a program that is not Gatling.

use std::path::Path;
use std::process::{Command, Output};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = gatling_hook_host::WIT;

/// A component that exports hooks with these names. `body` is the body of each, in WebAssembly's text format.
fn component(names: &[&str], body: &str) -> Vec<u8> {
    let exports: String = names.iter().map(|name| format!("export {name}: func(env: env);")).collect();
    let world = format!("package my:hooks;\nworld backup {{ use gatling:hooks/types@1.2.0.{{env}}; {exports} }}");
    let mut resolve = Resolve::default();
    resolve.push_str("hooks.wit", CONTRACT).expect("the contract is well-formed");
    let package = resolve.push_str("world.wit", &world).expect("the world is well-formed");
    let world = resolve.select_world(&[package], None).expect("there is one");
    let functions: String = names.iter().map(|name| format!("(func (export \"{name}\") (param i32) {body})")).collect();
    let realloc = "(func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
        (local.set 0 (global.get $free))
        (global.set $free (i32.and (i32.add (i32.add (local.get 0) (local.get 3)) (i32.const 7)) (i32.const -8)))
        (local.get 0))";
    let module = format!(
        "(module (memory (export \"memory\") 16) (global $free (mut i32) (i32.const 8)) {realloc} {functions})"
    );
    let mut module = wat::parse_str(module).expect("it is a module");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("it can be embedded");
    ComponentEncoder::default().module(&module).expect("it is a module").encode().expect("it is a component")
}

fn backup(folder: &Path, component: &[u8]) -> Output {
    let file = folder.join("backup.wasm");
    std::fs::write(&file, component).expect("it can be written");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--example", "backup", "--"]);
    cargo.arg(file).env("TMPDIR", folder).output().expect("there is cargo")
}

#[test]
fn a_program_calls_hooks_before_and_after_its_own_steps() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = backup(folder.path(), &component(&["before-dump", "after-upload"], ""));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<_> = stdout.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(lines, ["dump", "upload"]);
}

#[test]
fn a_hook_that_traps_stops_the_program_before_its_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = backup(folder.path(), &component(&["before-upload"], "unreachable"));
    assert!(!output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).lines().any(|line| line == "dump"), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("the hook before_upload of backup.wasm, before the step upload"), "{stderr}");
}

#[test]
fn exports_for_steps_of_other_programs_are_not_called() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = backup(folder.path(), &component(&["before-mix-compile"], "unreachable"));
    assert!(output.status.success(), "{output:?}");
}
