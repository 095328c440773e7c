//! The Elixir of mise and asdf: fake shims, which note that they were called and do as real ones do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use gatling_tests::server::Run;
use gatling_tests::{Output, Sandbox};

use crate::said;

/// Where each version manager keeps its shims, below the home.
const SHIMS: [&str; 2] = [".local/share/mise/shims", ".asdf/shims"];

/// Puts a shim of `program` into the user's home, which is the sandbox's root.
fn shim(sandbox: &Sandbox, folder: &str, program: &str, script: &str) {
    let folder = sandbox.root().join(folder);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(program);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What `command` says in the home that has the shims.
fn in_home(sandbox: &Sandbox, command: &mut Command) -> Run {
    for name in ["MISE_DATA_DIR", "ASDF_DATA_DIR", "XDG_DATA_HOME", "MISE_TRUSTED_CONFIG_PATHS"] {
        command.env_remove(name);
    }
    Run::from(Output::of(command.env("HOME", sandbox.root())).unwrap())
}

/// A shell script that runs the machine's own program, after noting who was called and with what.
fn passing_on(sandbox: &Sandbox, program: &str) -> String {
    let real = ["/usr/bin", "/usr/local/bin"].map(|folder| format!("{folder}/{program}"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(program)).filter(|path| path.is_file());
    let real = found.next().map_or_else(|| real[0].clone(), |path| path.display().to_string());
    let noted = sandbox.root().join("called").display().to_string();
    format!("echo \"{program} ${{MISE_TRUSTED_CONFIG_PATHS}}\" >>{noted}\nexec {real} \"$@\"")
}

fn called(sandbox: &Sandbox) -> String {
    let called = fs::read_to_string(sandbox.root().join("called")).unwrap_or_default();
    _ = fs::remove_file(sandbox.root().join("called"));
    called
}

/// The project, pushed.
fn pushed(sandbox: &Sandbox) {
    sandbox.load("hello").unwrap().deploy().unwrap();
}

#[test]
fn mix_runs_on_the_elixir_of_a_version_manager_and_mise_trusts_what_was_pushed() {
    for folder in SHIMS {
        let sandbox = Sandbox::new().unwrap();
        let hello = sandbox.load("hello").unwrap();
        for program in ["elixir", "mix"] {
            shim(&sandbox, folder, program, &passing_on(&sandbox, program));
        }
        let build_dir = sandbox.home().join("hello").display().to_string();

        let pushed = in_home(&sandbox, &mut hello.push_command(&["main"]));
        assert!(pushed.output.says("is serving at"), "{}", pushed.text());
        let programs = called(&sandbox);
        assert!(programs.contains(&format!("elixir {build_dir}")), "{programs}");
        assert!(!programs.contains("mix "), "{programs}");

        for args in [&["plan", "hello"][..], &["env", "hello"]] {
            said(in_home(&sandbox, &mut sandbox.gatling(args)), args, 0, &[]);
            assert_eq!(called(&sandbox), format!("elixir {build_dir}\n"), "{args:?}");
        }
    }
}

#[test]
fn the_operators_folders_come_before_those_of_a_version_manager() {
    let sandbox = Sandbox::new().unwrap();
    pushed(&sandbox);
    shim(&sandbox, SHIMS[0], "elixir", "exit 1");
    shim(&sandbox, "operators", "elixir", &passing_on(&sandbox, "elixir"));
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let path = sandbox.root().join("operators").display().to_string();
    fs::write(sandbox.config(), format!("path = [{path:?}]\n{config}")).unwrap();
    called(&sandbox);

    said(in_home(&sandbox, &mut sandbox.gatling(&["env", "hello"])), &["env"], 0, &[]);

    assert!(called(&sandbox).starts_with("elixir "));
}

#[test]
fn the_error_of_a_version_manager_comes_with_what_to_do() {
    let sandbox = Sandbox::new().unwrap();
    pushed(&sandbox);
    let build_dir = sandbox.home().join("hello").display().to_string();
    let mise = "echo 'mise ERROR Tool not installed for shim: elixir' >&2; exit 1";
    let asdf = "echo 'No preset version installed for command elixir' >&2; exit 126";
    for (folder, script, name) in [(SHIMS[0], mise, "mise"), (SHIMS[1], asdf, "asdf")] {
        shim(&sandbox, folder, "elixir", script);
        let words = [script.split('\'').nth(1).unwrap(), &format!("`{name} install` in {build_dir}")];

        for args in [&["plan", "hello"][..], &["env", "hello"], &["upgrade", "hello"]] {
            said(in_home(&sandbox, &mut sandbox.gatling(args)), args, 1, &words);
        }

        fs::remove_dir_all(sandbox.root().join(folder)).unwrap();
    }
}
