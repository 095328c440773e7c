//! Problems of the hooks file.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use gatling_tests::server::{Run, Server};
use gatling_tests::{Output, places};
use rustix::process::geteuid;

use crate::{EARLY, assert_push_refused, assert_refused, assert_untouched};
use gatling_tests::component::{USE, component, contract};

/// Pushes these bytes as `upgrade.wasm` and asserts that they are refused with `words`.
#[track_caller]
fn assert_hooks_refused(bytes: &[u8], words: &[&str]) {
    let change = |server: &Server| fs::write(server.hello.dir().join("upgrade.wasm"), bytes).unwrap();
    let words = [words, &["upgrade.wasm cannot be used", "gatling hooks check", "remove upgrade.wasm"]].concat();
    assert_push_refused(change, &words);
}

#[test]
fn a_core_module_as_hooks_file_is_refused() {
    assert_hooks_refused(b"\0asm\x01\0\0\0", &["core WebAssembly module", "wasm32-wasip2"]);
}

#[test]
fn a_text_file_as_hooks_file_is_refused() {
    assert_hooks_refused(b"These are my hooks.\n", &["not a WebAssembly file"]);
}

#[test]
fn an_empty_hooks_file_is_refused() {
    assert_hooks_refused(b"", &["it is empty", "build the hooks again"]);
}

#[test]
fn a_truncated_component_is_refused() {
    let whole = fs::read(places::guest("few").unwrap()).unwrap();
    assert_hooks_refused(&whole[..whole.len() / 2], &["damaged component", "Build the hooks again"]);
}

#[test]
fn a_hook_of_the_wrong_type_is_refused() {
    let bytes = component(&format!("{USE} export before-mix-compile: func(env: env) -> string;"), &contract());
    assert_hooks_refused(&bytes, &["before_mix_compile", "wrong type", "func(env: env) -> result<_, string>"]);
}

#[test]
fn a_hooks_file_for_another_contract_is_refused() {
    for (version, way_out) in
        [("1.3.0", "upgrade Gatling"), ("2.0.0", "upgrade Gatling"), ("0.9.0", "rebuild the hooks")]
    {
        let other = contract().replace("gatling:hooks@1.2.0", &format!("gatling:hooks@{version}"));
        let bytes = component(&format!("import gatling:hooks/log@{version};"), &other);
        assert_hooks_refused(&bytes, &[&format!("gatling:hooks@{version}"), "gatling:hooks@1.2.0", way_out]);
    }
}

#[test]
fn a_symlink_to_a_missing_hooks_file_is_refused() {
    let change = |server: &Server| symlink("hooks/built.wasm", server.hello.dir().join("upgrade.wasm")).unwrap();
    assert_push_refused(change, &["upgrade.wasm cannot be used", "cannot read", "No such file", "remove upgrade.wasm"]);
}

#[test]
fn a_folder_as_hooks_file_is_refused() {
    let change = |server: &Server| server.hello.write("upgrade.wasm/lib.rs", "").unwrap();
    assert_push_refused(change, &["upgrade.wasm cannot be used", "is not a file", "remove upgrade.wasm"]);
}

#[test]
fn an_unreadable_hooks_file_is_refused() {
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    let hooks = server.build_dir().join("upgrade.wasm");
    fs::copy(places::guest("few").unwrap(), &hooks).unwrap();
    fs::set_permissions(&hooks, fs::Permissions::from_mode(0o000)).unwrap();
    let mut upgrade = server.sandbox.gatling(&["upgrade", "hello"]);
    if geteuid().is_root() {
        // Without these capabilities, permissions also apply to root.
        let program = upgrade.get_program().to_owned();
        upgrade = server.sandbox.command("setpriv", server.sandbox.root());
        upgrade.arg("--bounding-set=-dac_override,-dac_read_search").arg(program).args(["upgrade", "hello"]);
    }

    let run = Run::from(Output::of(&mut upgrade).unwrap());

    assert_refused(&run, &["upgrade.wasm cannot be used", "Permission denied", "hello 0.1.0 is serving."]);
    assert_untouched(&server, &before);
}
