//! The commands, each by itself: what it says, what it leaves on the disk, how it exits.

mod beside;
mod config;
mod help;
mod hooks_check;
mod hooks_run;
mod load;
mod plan;
mod restart;
mod toolchain;
mod unload;

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use gatling_tests::Sandbox;
use gatling_tests::server::Run;
use serde_json::Value;

/// Runs `gatling` with `args`, which is to exit with `code` and to say all of `words`.
#[track_caller]
fn run(sandbox: &Sandbox, args: &[&str], code: i32, words: &[&str]) -> String {
    said(Run::from(sandbox.run(args).unwrap()), args, code, words)
}

#[track_caller]
fn said(run: Run, args: &[&str], code: i32, words: &[&str]) -> String {
    let text = run.text();
    assert_eq!(run.code, Some(code), "the exit code of gatling {args:?}; it said:\n{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in what gatling {args:?} said:\n{text}");
    }
    text
}

/// The JSON that `gatling` with `args` prints.
#[track_caller]
fn json(sandbox: &Sandbox, args: &[&str], code: i32) -> Value {
    let output = sandbox.run(args).unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert_eq!(output.stdout.lines().count(), 1, "one object a line: {output:?}");
    let mut object: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(object.as_object_mut().unwrap().remove("v"), Some(1.into()), "it has a version: {output:?}");
    object
}

/// Everything below a folder, and when it was changed.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (u64, (i64, i64), u32)> {
    let facts = |metadata: Metadata| (metadata.len(), (metadata.mtime(), metadata.mtime_nsec()), metadata.mode());
    let mut files = BTreeMap::from([(folder.to_owned(), facts(fs::metadata(folder).unwrap()))]);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            files.extend(snapshot(&path));
        }
        files.insert(path, facts(metadata));
    }
    files
}
