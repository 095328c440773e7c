//! Journals that are not as they should be, and runs that there aren't.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use gatling_tests::Output;

use super::{SERVER, gatling, journal, objects, push, read};

#[test]
fn torn_lines_of_a_journal_are_skipped() {
    let server = SERVER.lock();
    push(&server, "0.2.0");
    let journal = journal(&server);
    let whole = read(&journal);
    let lines: Vec<_> = whole.lines().collect();
    let torn = lines.iter().enumerate().map(|(number, line)| if number == 5 { &line[..20] } else { line });
    fs::write(&journal, torn.map(|line| format!("{line}\n")).collect::<String>() + "{\"v\":1,\"at\":").unwrap();

    let log = gatling(server.sandbox, &["log", "hello"], 0);

    assert!(log.says("(a part of the journal cannot be read: line 6 is damaged)"), "{log:?}");
    assert!(log.says("hello 0.2.0 is serving at"), "{log:?}");
    assert_eq!(objects(server.sandbox, &["history", "hello", "--json"])[0]["state"], "succeeded");
    let report = gatling(server.sandbox, &["report", "hello"], 0);
    assert!(report.says("1 part of the run's journal could not be read"), "{report:?}");
}

#[test]
fn a_journal_that_ends_early_is_one_of_a_run_that_was_killed() {
    let server = SERVER.lock();
    push(&server, "0.2.0");
    let journal = journal(&server);
    let whole = read(&journal);
    fs::write(&journal, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(objects(server.sandbox, &["history", "hello", "--json"])[0]["state"], "killed");
    assert!(gatling(server.sandbox, &["status", "hello"], 0).says("hello 0.2.0 is serving."));
    fs::write(&journal, whole).unwrap();
}

#[test]
fn foreign_journals_and_those_of_newer_versions_are_reported() {
    let server = SERVER.lock();
    push(&server, "0.2.0");
    let journal = journal(&server);
    let whole = read(&journal);
    for (text, says) in [
        ("hello\nworld\n", "line 1 is damaged"),
        (
            "{\"v\":2,\"new\":true}\n",
            "this journal has a newer format (2; this version of gatling reads 1 and older): upgrade gatling",
        ),
        ("\u{0}\u{0}\u{0}\n", "line 1 is damaged"),
    ] {
        fs::write(&journal, text).unwrap();
        let log = gatling(server.sandbox, &["log", "hello"], 0);
        assert!(log.says(says), "{log:?}");
        let history = gatling(server.sandbox, &["history", "hello"], 0);
        assert!(history.says("unreadable: ") && history.says(says), "{history:?}");
        let report: Output = server.sandbox.run(&["report", "hello"]).unwrap();
        assert!(report.says("could not be read") || report.says(says), "{report:?}");
        gatling(server.sandbox, &["status", "hello"], 0);
    }
    fs::write(&journal, whole).unwrap();
}

#[test]
fn a_journal_of_a_gigabyte_is_read_without_as_much_memory() {
    let server = SERVER.lock();
    push(&server, "0.2.0");
    let journal = journal(&server);
    let whole = read(&journal);
    let (first, rest) = whole.split_once('\n').unwrap();
    let mut file = OpenOptions::new().write(true).truncate(true).open(&journal).unwrap();
    writeln!(file, "{first}").unwrap();
    // One line of a gigabyte, which takes no room on the disk.
    file.set_len(1 << 30).unwrap();
    let mut file = OpenOptions::new().append(true).open(&journal).unwrap();
    write!(file, "\n{rest}").unwrap();
    let mut limited = server.sandbox.command("sh", server.sandbox.root());
    limited.args(["-c", "ulimit -v 500000 && gatling log hello && gatling history hello"]);

    let output = Output::of(&mut limited).unwrap().expect_success().unwrap();

    assert!(output.says("line 2 is damaged") && output.says("hello 0.2.0 is serving at"), "{output:?}");
    fs::write(&journal, whole).unwrap();
}

#[test]
fn projects_without_runs_and_unknown_runs_are_reported() {
    let server = SERVER.lock();
    let sandbox = server.sandbox;
    gatling(sandbox, &["load", "idle"], 0);
    for command in ["log", "report"] {
        assert!(
            gatling(sandbox, &[command, "idle"], 1)
                .says("idle has no runs yet: push to it, or run `gatling deploy idle`")
        );
    }
    assert!(gatling(sandbox, &["history", "idle"], 0).says("idle has no runs yet"));
    for command in ["log", "report"] {
        let output = gatling(sandbox, &[command, "hello", "1999"], 2);
        assert!(output.says("there is no run \"1999\" of hello; the latest is "), "{output:?}");
        let output = gatling(sandbox, &[command, "hello", "../../x"], 2);
        assert!(output.says("there is no run"), "{output:?}");
        assert!(gatling(sandbox, &[command, "nobody"], 2).says("there is no project nobody"));
    }
}

#[test]
fn without_a_writable_journal_no_run_begins() {
    let server = SERVER.lock();
    let folder = server.sandbox.home().join(".gatling").display().to_string();
    let before = server.serving().unwrap();
    let mut upgrade = server.sandbox.command("unshare", server.sandbox.root());
    let script =
        format!("mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && gatling upgrade hello");
    upgrade.args(["--mount", "sh", "-c", &script]);

    let output = Output::of(&mut upgrade).unwrap();

    assert!(!output.status.success() && output.says("cannot make the folder"), "{output:?}");
    assert_eq!(server.serving().unwrap(), before);
}
