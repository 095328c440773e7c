//! Damaged and malicious hooks files, checked by `gatling` itself: it must report the problems of each, and exit
//! normally.

use std::fs;
use std::path::{Path, PathBuf};

use gatling_tests::{Output, Sandbox, places};
use serde_json::Value;

/// At how many places each component is damaged.
const PLACES: usize = 24;

/// Checks these files in one process, with a gigabyte of memory and a minute of time, and returns the problems of
/// each.
#[track_caller]
fn checked(sandbox: &Sandbox, files: &[PathBuf]) -> Vec<Vec<String>> {
    let gatling = sandbox.gatling(&[]).get_program().to_owned();
    let mut sh = sandbox.command("sh", sandbox.root());
    sh.args(["-c", "ulimit -v 1048576 && exec timeout 60 \"$0\" hooks check --json \"$@\""]);

    let output = Output::of(sh.arg(gatling).args(files)).unwrap();

    assert!(matches!(output.status.code(), Some(0 | 1)), "{}: {}", output.status, output.stderr);
    let reports: Vec<Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(reports.len(), files.len());
    let problems = |report: &Value| report["problems"].as_array().unwrap().clone();
    reports.iter().map(|report| problems(report).iter().map(ToString::to_string).collect()).collect()
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn damaged_components_are_reported_or_inspected_without_a_crash() {
    let sandbox = Sandbox::new().unwrap();
    for guest in ["few", "recorder", "runner"] {
        let whole = fs::read(places::guest(guest).unwrap()).unwrap();
        let places = (0..PLACES).map(|place| 8 + (whole.len() - 8) * place / PLACES);
        let (mut cut, mut others) = (Vec::new(), Vec::new());
        for place in places {
            cut.push(written(sandbox.root(), &format!("cut-{place}"), &whole[..place]));
            let mut flipped = whole.clone();
            flipped[place] ^= 0x80;
            others.push(written(sandbox.root(), &format!("flipped-{place}"), &flipped));
            let doubled = [&whole[..place], &whole[place / 2..]].concat();
            others.push(written(sandbox.root(), &format!("doubled-{place}"), &doubled));
        }

        let cut = checked(&sandbox, &cut);
        let others = checked(&sandbox, &others);

        // Only a header is an empty component.
        assert!(cut[1..].iter().all(|problems| !problems.is_empty()), "{guest}: {cut:?}");
        assert!(others.iter().any(|problems| !problems.is_empty()), "{guest}: {others:?}");
    }
}

#[test]
fn a_false_section_size_does_not_allocate_memory() {
    let sandbox = Sandbox::new().unwrap();
    let claims: Vec<_> = [0, 1, 2, 4, 5, 6, 7, 8, 10, 11]
        .map(|section| [b"\0asm\x0d\0\x01\0".as_slice(), &[section, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]].concat())
        .iter()
        .enumerate()
        .map(|(number, bytes)| written(sandbox.root(), &format!("claim-{number}"), bytes))
        .collect();

    for problems in checked(&sandbox, &claims) {
        assert!(problems.len() == 1 && problems[0].contains("damaged component"), "{problems:?}");
    }
}
