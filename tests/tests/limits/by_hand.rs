//! Hooks that no compiler would produce: their core modules are written by hand.

use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use gatling_tests::server::Server;

use crate::{SERVER, SETTINGS, assert_hooks_end};
use gatling_tests::component::{USE, component_around, contract};

/// The parts of WASI that the hooks below import.
const POLL: &str = "package wasi:io@0.2.6; interface poll { resource pollable; }";
const CLOCK: &str = "package wasi:clocks@0.2.6; interface monotonic-clock {
    use wasi:io/poll@0.2.6.{pollable};
    subscribe-duration: func(when: u64) -> own<pollable>;
}";

const LOG: &str = r#"(import "gatling:hooks/log@1.0.0" "log" (func $log (param i32 i32 i32)))"#;
const RUN: &str =
    r#"(import "gatling:hooks/process@1.0.0" "run" (func $run (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;

/// The position and the length of texts and lists that are all zeros: a megabyte and a gigabyte.
const FROM: usize = 1 << 20;
const GIGABYTE: usize = 1 << 30;

/// The error of a hook that passes too much data in one call.
const TOO_MUCH: [&str; 2] =
    ["the hook before_mix_deps_get of upgrade.wasm", "too much data is being copied between the host and the guest"];

/// A component with the hook `before_mix_deps_get`, made of these instructions. They return the address of the
/// result; at address 0 it is `ok`.
fn hook(pages: usize, parts: &str, instructions: &str) -> Vec<u8> {
    let module = format!(
        r#"(module
          {parts}
          (memory (export "memory") {pages})
          (global $next (mut i32) (i32.const 65536))
          (func (export "before-mix-deps-get") (param i32) (result i32) {instructions})
          (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
            (local $place i32)
            (local.set $place (i32.and
              (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
              (i32.sub (i32.const 0) (local.get $align))))
            (global.set $next (i32.add (local.get $place) (local.get $size)))
            (local.get $place)))"#
    );
    let world = format!(
        "{USE} import wasi:clocks/monotonic-clock@0.2.6; export before-mix-deps-get: func(env: env) -> result<_, string>;"
    );
    component_around(&module, &world, &[&contract(), POLL, CLOCK])
}

#[test]
fn the_backtrace_of_functions_with_very_long_names_is_cut() {
    // It calls itself several times and traps: all these frames are in the backtrace.
    let name = "x".repeat(3_000_000);
    let parts = format!(
        "(func ${name} (param i32) (if (i32.eqz (local.get 0)) (then unreachable)) \
         (call ${name} (i32.sub (local.get 0) (i32.const 1))))"
    );
    let hook = hook(2, &parts, &format!("(call ${name} (i32.const 30)) (i32.const 0)"));
    assert_ended(&hook, SETTINGS, "names", &["it trapped", "unreachable", "… (truncated: "]);
}

/// Adds this core module and `count` instances of it to a component.
fn with_instances(mut component: Vec<u8>, module: &str, count: usize) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    const CORE_INSTANCES: u8 = 2;
    let number = sections(&component).into_iter().filter(|id| *id == CORE_MODULE).count();
    append(&mut component, CORE_MODULE, &wat::parse_str(module).unwrap());
    let mut instances = Vec::new();
    leb128(count, &mut instances);
    for _ in 0..count {
        instances.push(0);
        leb128(number, &mut instances);
        leb128(0, &mut instances);
    }
    append(&mut component, CORE_INSTANCES, &instances);
    component
}

/// The ids of a component's outermost sections.
fn sections(component: &[u8]) -> Vec<u8> {
    let (mut ids, mut rest) = (Vec::new(), &component[8..]);
    while let [id, tail @ ..] = rest {
        ids.push(*id);
        let digits = tail.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let size = tail[..digits].iter().rev().fold(0, |size, digit| size << 7 | usize::from(digit & 0x7f));
        rest = &tail[digits + size..];
    }
    ids
}

fn append(component: &mut Vec<u8>, section: u8, content: &[u8]) {
    component.push(section);
    leb128(content.len(), component);
    component.extend_from_slice(content);
}

fn leb128(mut number: usize, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// The result of `work`, and the peak memory of Gatling's worker during it, in bytes.
fn with_memory_of_worker<T>(server: &Server, work: impl FnOnce() -> T) -> (T, usize) {
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", server.sandbox.worker()?.as_raw_pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
    };
    thread::scope(|scope| {
        // The channel is closed when the work is done or has failed.
        let (working, is_done) = mpsc::channel::<()>();
        let most = scope.spawn(move || {
            let mut most = 0;
            while is_done.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
                most = most.max(memory().unwrap_or_default());
            }
            most
        });
        let result = work();
        drop(working);
        (result, most.join().unwrap())
    })
}

/// Asserts that this hook ends with `words`, at the latest soon after its limit of two seconds, and that Gatling uses
/// less than half a gigabyte for it.
#[track_caller]
fn assert_ended(hook: &[u8], settings: &str, what: &str, words: &[&str]) {
    let server = SERVER.lock();
    let begun = Instant::now();
    let work = || assert_hooks_end(&server, hook, settings, what, words);
    let (_, memory) = with_memory_of_worker(&server, work);
    assert!(memory > 0, "{what}: no worker was seen");
    assert!(memory < 512 << 20, "{what}: the worker took {} MB", memory >> 20);
    assert!(begun.elapsed() < Duration::from_secs(10), "{what}: it took {:?}", begun.elapsed());
}

/// Settings that allow two gigabytes of memory.
fn roomy() -> String {
    SETTINGS.replace("64MiB", "2GiB")
}

#[test]
fn a_component_whose_start_function_never_returns_is_stopped_in_time() {
    let hook = hook(2, "(func $spin (loop $again (br $again))) (start $spin)", "(i32.const 0)");
    let words = ["the hook before_mix_deps_get of upgrade.wasm", "time limit (2.0 s) exceeded"];
    assert_ended(&hook, SETTINGS, "start", &words);
}

#[test]
fn an_error_of_a_gigabyte_is_not_copied() {
    let data = r#"(data (i32.const 16) "\01\00\00\00" "\00\00\10\00" "\00\00\00\40")"#;
    let hook = hook((FROM + GIGABYTE) >> 16, data, "(i32.const 16)");
    assert_ended(&hook, &roomy(), "error", &TOO_MUCH);
}

#[test]
fn a_line_of_a_gigabyte_is_not_logged() {
    let call = format!("(call $log (i32.const 1) (i32.const {FROM}) (i32.const {GIGABYTE})) (i32.const 0)");
    let hook = hook((FROM + GIGABYTE) >> 16, LOG, &call);
    assert_ended(&hook, &roomy(), "line", &TOO_MUCH);
}

/// A hook that runs `true` with `count` empty arguments, and returns the resulting error.
fn with_arguments(count: usize) -> Vec<u8> {
    let parts = format!(r#"{RUN} (data (i32.const 128) "true") (data (i32.const 32) "\01\00\00\00")"#);
    let instructions = format!(
        "(call $run (i32.const 128) (i32.const 4) (i32.const {FROM}) (i32.const {count})
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
        (if (i32.eqz (i32.load8_u (i32.const 64))) (then unreachable))
        (i32.store (i32.const 36) (i32.load (i32.const 72)))
        (i32.store (i32.const 40) (i32.load (i32.const 76)))
        (i32.const 32)"
    );
    hook((FROM + 8 * count).div_ceil(1 << 16), &parts, &instructions)
}

#[test]
fn a_program_with_too_many_arguments_is_not_run() {
    let settings = SETTINGS.replace("\"sh\"", "\"sh\", \"true\"");
    let words = ["the hook before_mix_deps_get of upgrade.wasm", "it returned an error", "Argument list too long"];
    assert_ended(&with_arguments(1_000_000), &settings, "arguments", &words);
    let settings = roomy().replace("\"sh\"", "\"sh\", \"true\"");
    assert_ended(&with_arguments(100_000_000), &settings, "list", &TOO_MUCH);
}

#[test]
fn a_hook_that_grows_its_tables_is_ended() {
    let grow = "(loop $again (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $again)) (i32.const 0)";
    let words = ["the hook before_mix_deps_get of upgrade.wasm", "table limit (100000 elements) exceeded"];
    assert_ended(&hook(2, "(table $t 0 funcref)", grow), SETTINGS, "table", &words);
}

#[test]
fn the_resources_of_all_instances_count_together() {
    let fine = hook(2, "", "(i32.const 0)");
    let memories = with_instances(fine.clone(), "(module (memory 20))", 100);
    assert_ended(&memories, SETTINGS, "memories", &["memory limit (64.0 MiB) exceeded"]);
    let tables = with_instances(fine, "(module (table 2000 funcref))", 100);
    assert_ended(&tables, SETTINGS, "tables", &["table limit (100000 elements) exceeded"]);
    // Each uses memory of Gatling for its globals, although it has no memory itself.
    let globals = "(global i32 (i32.const 0))".repeat(50_000);
    let instances = with_instances(hook(2, "", "(i32.const 0)"), &format!("(module {globals})"), 900);
    assert_ended(&instances, SETTINGS, "instances", &["resource limit exceeded: instance count too high"]);
}

#[test]
fn components_nested_a_thousand_deep_are_refused() {
    const COMPONENT: u8 = 4;
    let header = b"\0asm\x0d\0\x01\0";
    let nested = (0..1000).fold(header.to_vec(), |inner, _| {
        let mut outer = header.to_vec();
        append(&mut outer, COMPONENT, &inner);
        outer
    });
    let mut component = hook(2, "", "(i32.const 0)");
    append(&mut component, COMPONENT, &nested);
    assert_ended(&component, SETTINGS, "nested", &["upgrade.wasm cannot be used", "nest deeper than 100 levels"]);
}

#[test]
fn a_hook_that_holds_too_many_handles_is_ended() {
    let import =
        r#"(import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $alarm (param i64) (result i32)))"#;
    let hook = hook(2, import, "(loop $again (drop (call $alarm (i64.const 1))) (br $again)) (i32.const 0)");
    assert_ended(
        &hook,
        SETTINGS,
        "handles",
        &[
            "the hook before_mix_deps_get of upgrade.wasm",
            "more than 256 open files, folders, streams and requests at once",
        ],
    );
}
