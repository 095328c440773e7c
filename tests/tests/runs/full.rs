//! A disk that is full before a run has ended.

use std::fs;

use gatling_tests::component::{USE, component_around, contract};
use gatling_tests::mounts::apart;

use crate::{SERVER, push};

/// A component whose hook `after_configure_nginx` writes a line of a megabyte to the log.
fn talkative() -> Vec<u8> {
    let module = r#"(module
      (import "gatling:hooks/log@1.2.0" "log" (func $log (param i32 i32 i32)))
      (memory (export "memory") 32)
      (func (export "after-configure-nginx") (param i32)
        (memory.fill (i32.const 1048576) (i32.const 120) (i32.const 1048576))
        (call $log (i32.const 1) (i32.const 1048576) (i32.const 1048576)))
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))"#;
    component_around(module, &format!("{USE} export after-configure-nginx: func(env: env);"), &[&contract()])
}

#[test]
fn a_run_that_succeeded_is_not_reported_as_failed_because_its_journal_has_no_end() {
    let server = SERVER.lock();
    push(&server, "0.2.0");
    fs::write(server.hello.dir().join("upgrade.wasm"), talkative()).unwrap();
    server.hello.set_version("0.3.0").unwrap();
    server.hello.commit("0.3.0").unwrap();
    let runs = server.sandbox.home().join(".gatling/hello/runs");
    let script = format!("mount -t tmpfs -o size=300k tmpfs {}\nexec git push server main", runs.display());
    let Some(mut push) = apart(server.sandbox, server.hello.dir(), &script) else { return };

    let run = server.push_with(&mut push).unwrap();

    let text = run.text();
    assert!(text.contains("its journal") && text.contains("is the disk full? See `df -h "), "{text}");
    assert!(!text.contains("failed"), "{text}");
    assert_eq!(run.code, Some(0), "{text}");
    assert_eq!(server.serving().unwrap().answer, (200, "hello 0.3.0\n".to_owned()));
}
