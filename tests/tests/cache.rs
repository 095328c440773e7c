//! The cache of compiled hooks, and compiling during the first steps.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use gatling_tests::{Sandbox, places, waiting};

use gatling_tests::component::{USE, component_around, contract};

/// Calls a hook that only logs, and returns whether it was compiled for the call.
fn was_compiled(sandbox: &Sandbox, file: &Path) -> bool {
    let args = ["hooks", "run", &file.display().to_string(), "before_mix_compile", "--json"];
    let output = sandbox.run(&args).unwrap().expect_success().unwrap();
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["ok"], true);
    !report["compiled_milliseconds"].is_null()
}

fn hooks_file(sandbox: &Sandbox) -> PathBuf {
    let file = sandbox.root().join("upgrade.wasm");
    fs::copy(places::guest("hello-hooks").unwrap(), &file).unwrap();
    file
}

fn entries(sandbox: &Sandbox, extension: &str) -> Vec<PathBuf> {
    let cache = sandbox.home().join(".gatling/cache");
    let files = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[test]
fn damaged_files_in_the_cache_are_compiled_again() {
    let sandbox = Sandbox::new().unwrap();
    let file = hooks_file(&sandbox);
    assert!(was_compiled(&sandbox, &file));
    assert!(!was_compiled(&sandbox, &file));
    let [code] = &entries(&sandbox, "cwasm")[..] else { panic!("one hooks file, one entry") };
    let good = fs::read(code).unwrap();
    let mut changed = good.clone();
    let middle = good.len() / 2;
    changed[middle] ^= 0xff;

    for (what, bytes) in [("torn", &good[..middle]), ("empty", &[]), ("changed", &changed), ("rubbish", b"rubbish")] {
        fs::write(code, bytes).unwrap();
        assert!(was_compiled(&sandbox, &file), "{what}");
        assert!(!was_compiled(&sandbox, &file), "{what}");
    }
    for extension in ["record", "seen"] {
        for entry in entries(&sandbox, extension) {
            fs::write(entry, "rubbish").unwrap();
        }
        was_compiled(&sandbox, &file);
        assert!(!was_compiled(&sandbox, &file), "{extension}");
    }
}

#[test]
fn without_a_trusted_cache_hooks_are_compiled_each_time_with_a_warning() {
    let sandbox = Sandbox::new().unwrap();
    let file = hooks_file(&sandbox);
    let cache = sandbox.home().join(".gatling/cache");
    fs::create_dir_all(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    for _ in 0..2 {
        assert!(was_compiled(&sandbox, &file));
    }
    let args = ["hooks", "run", &file.display().to_string(), "before_mix_compile"];
    assert!(sandbox.run(&args).unwrap().says("cannot store compiled hooks: the folder "));
}

#[test]
fn a_changed_hooks_file_is_compiled_again() {
    let sandbox = Sandbox::new().unwrap();
    let file = hooks_file(&sandbox);
    for _ in 0..2 {
        was_compiled(&sandbox, &file);
    }
    fs::copy(places::guest("failing").unwrap(), &file).unwrap();
    let args = ["hooks", "run", &file.display().to_string(), "before_mix_compile"];
    let output = sandbox.run(&args).unwrap();
    assert!(output.says("does not export before_mix_compile"), "{output:?}");
}

/// A component that takes long to compile, with a hook after `mix_compile`.
fn slow() -> Vec<u8> {
    let body = "i32.const 42 drop i32.const 7 ".to_owned() + &"local.get 0 i32.mul local.get 0 i32.add ".repeat(20);
    with_functions(&format!("(func (param i32) (result i32) {body})\n").repeat(40_000))
}

/// A component with a hook after `mix_compile`, and these unused functions.
fn with_functions(functions: &str) -> Vec<u8> {
    let module = format!(
        r#"(module
            (memory (export "memory") 16)
            (global $next (mut i32) (i32.const 1024))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get 3))))
            (func (export "after-mix-compile") (param i32))
            {functions})"#
    );
    component_around(&module, &format!("{USE} export after-mix-compile: func(env: env);"), &[&contract()])
}

#[test]
fn compiling_runs_beside_the_first_steps_and_is_only_reported_when_a_step_waits_for_it() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    fs::write(hello.dir().join("deploy.wasm"), slow()).unwrap();
    hello.commit("A hook that takes long to compile").unwrap();

    let output = hello.deploy().unwrap();

    let lines = output.lines();
    let at = |text: &str| lines.iter().position(|line| line.starts_with(text));
    let step = at("mix_deps_get").unwrap_or_else(|| panic!("{output:?}"));
    assert!(at("after_mix_compile").unwrap() > step);
    if let Some(wait) = at("    compiling deploy.wasm: ") {
        assert!(wait > step, "no step waits for it: {output:?}");
    }
    let log = sandbox.runs("hello").unwrap();
    assert_eq!(log.len(), 1);
    // The next run uses the compiled code.
    hello.set_version("0.1.1").unwrap();
    hello.commit("0.1.1").unwrap();
    assert!(!hello.deploy().unwrap().says("compiling deploy.wasm"));
}

#[test]
fn hooks_pushed_during_a_run_are_compiled_while_they_wait() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let (first, gate) = hello.push_to_gate().unwrap();

    hello.set_version("0.2.0").unwrap();
    hello.copy_hooks(&places::guest("hello-hooks").unwrap(), "upgrade.wasm").unwrap();
    hello.commit("0.2.0, with hooks").unwrap();
    let second = hello.start_push(&["main"]).unwrap();
    second.wait_for("gatling: waiting for deploy of hello").unwrap();

    let cache = sandbox.home().join(".gatling/cache");
    waiting::wait_for("the hooks to be compiled", || {
        (cache.is_dir() && !entries(&sandbox, "record").is_empty()).then_some(())
    })
    .unwrap();
    assert!(!sandbox.home().join("hello/upgrade.wasm").exists(), "the build dir is still the first run's");
    gate.open().unwrap();
    assert!(first.end().unwrap().says("hello 0.1.0 is serving at"));
    let output = second.end().unwrap();
    assert!(output.says("hello 0.2.0 is serving at"), "{output:?}");
    let log = sandbox.log_of_run("hello").unwrap();
    assert!(log.contains("hooks: upgrade.wasm with ") && !log.contains("was compiled in"), "{log}");
}

#[test]
fn a_component_with_invalid_code_ends_the_run_before_its_first_step() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let mut bytes = slow();
    // Without the last `end`, the last function's body is incomplete.
    let at = bytes.windows(4).position(|bytes| bytes == [0x41, 0x2a, 0x1a, 0x41]).unwrap();
    bytes[at + 2] = 0x6a;
    fs::write(hello.dir().join("deploy.wasm"), bytes).unwrap();
    hello.commit("Invalid hooks").unwrap();

    let output = hello.push().unwrap();

    assert!(output.says("the hooks file deploy.wasm cannot be used"), "{output:?}");
    assert!(output.says("it is not valid"), "{output:?}");
    assert!(!output.says("$ mix deps.get"), "no step was begun: {output:?}");
}

#[test]
fn compiling_is_stopped_if_it_takes_too_long_or_too_much_memory() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    // The compile time and memory of this grow with the square of its size.
    let body = "local.get 1 if local.get 2 local.set 3 end ".repeat(40_000);
    let function = format!("(func (param i32) (local i32 i32 i32 i32) {body})");
    fs::write(hello.dir().join("deploy.wasm"), with_functions(&function)).unwrap();

    for (key, value, words) in [
        ("compile_timeout", "1s", "compile time limit (1.0 s) exceeded"),
        ("compile_memory", "40MiB", "compile memory limit (40.0 MiB) exceeded"),
    ] {
        hello.write("gatling.toml", &format!("[hooks]\n{key} = '{value}'\n")).unwrap();
        hello.commit(key).unwrap();
        let output = hello.push().unwrap();
        assert!(output.says("the hooks file deploy.wasm cannot be compiled"), "{output:?}");
        assert!(output.says(words), "{key}: {output:?}");
        assert!(output.says("hello is not deployed: no release is running"), "{output:?}");
    }
    let compilers =
        fs::read_dir("/proc").unwrap().filter_map(|process| fs::read(process.ok()?.path().join("cmdline")).ok());
    let home = sandbox.home().display().to_string();
    let left = compilers.filter(|line| String::from_utf8_lossy(line).contains(&format!("compile\0{home}")));
    assert_eq!(left.count(), 0, "no compiler is left running");
}

#[test]
fn a_file_without_hooks_of_the_pipeline_is_not_compiled() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    hello.copy_hooks(&places::guest("recorder-unload").unwrap(), "deploy.wasm").unwrap();
    hello.commit("Hooks of another pipeline").unwrap();

    let output = hello.deploy().unwrap();

    assert!(output.says("hooks: deploy.wasm has none for this pipeline"), "{output:?}");
    assert_eq!(entries(&sandbox, "cwasm"), Vec::<PathBuf>::new());
}
