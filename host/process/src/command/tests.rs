//! Runs real programs.

use super::*;
use std::time::Duration;

fn sh(script: &str) -> Command {
    Command::new("sh", ["-c", script], Path::new("/"))
}

fn lines(command: &Command) -> (ExitStatus, Vec<String>) {
    let mut text = String::new();
    let add = |lines: Lines| text += &format!("{}{}", lines.text, if lines.open { "" } else { "\n" });
    let status = command.stream(add).expect("it starts");
    (status, text.lines().map(str::to_owned).collect())
}

#[test]
fn standard_output_and_error_arrive_in_the_order_they_were_written() {
    let (status, lines) = lines(&sh("echo one; echo two >&2; printf three"));
    assert!(status.success());
    assert_eq!(lines, ["one", "two", "three"]);
}

#[test]
fn a_long_command_line_is_truncated_for_display() {
    let many = Command::new("true", vec!["ä"; 1_000_000], Path::new("/")).to_string();
    assert!(many.starts_with("true 'ä' 'ä'") && many.ends_with("… (truncated: 1000000 arguments in total)"), "{many}");
    let long = Command::new(&"x".repeat(1_000_000), [""; 0], Path::new("/")).to_string();
    assert!(many.len() < 5000 && long.len() < 5000, "{} and {} bytes", many.len(), long.len());
    assert_eq!(sh("exit 0").to_string(), "sh -c 'exit 0'");
}

#[test]
fn lines_arrive_while_the_program_runs() {
    let start = std::time::Instant::now();
    let mut first = None;
    sh("echo now; sleep 2").stream(|_| _ = first.get_or_insert(start.elapsed())).expect("it starts");
    assert!(first.expect("a line came") < start.elapsed() / 2);
}

#[test]
fn no_output_is_lost_if_it_is_read_long_after_the_program_has_ended() {
    // The process in the background keeps the pipe open.
    let command = sh("for i in $(seq 1 5000); do echo a line of output; done; sleep 5 & exit 0");
    let mut text = String::new();
    let mut is_first = true;
    let status = command.stream(|lines| {
        if std::mem::take(&mut is_first) {
            std::thread::sleep(Duration::from_millis(1500));
        }
        text += &format!("{}\n", lines.text);
    });
    assert!(status.expect("it starts").success());
    assert_eq!(text.lines().count(), 5000);
}

#[test]
fn a_process_left_in_the_background_does_not_block() {
    let start = std::time::Instant::now();
    let (status, _) = lines(&sh("sleep 30 & echo $!; exit 0"));
    assert!(status.success());
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_process_left_in_the_background_that_keeps_writing_does_not_block() {
    let start = std::time::Instant::now();
    let script = "(for i in $(seq 1000); do echo tick; sleep 0.02; done) & exit 0";
    let (status, _) = lines(&sh(script));
    assert!(status.success());
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn the_program_that_sudo_runs_can_be_missing_too() {
    let command = Command::new("no-such-program", [""; 0], Path::new("/"));
    assert_eq!(command.missing(), Some("no-such-program"));
    let mut command = command.as_root(true);
    "sh".clone_into(&mut command.program);
    assert_eq!(command.missing(), None, "its argument is only a program for sudo");
    "sudo".clone_into(&mut command.program);
    assert!(command.missing().is_some());
}

#[test]
fn only_the_final_state_of_a_progress_bar_is_kept() {
    let (_, lines) = lines(&sh("printf '10%%\\r50%%\\r100%%\\r\\ndone\\rtwice\\n\\nafter an empty line\\n7%% off\\n'"));
    assert_eq!(lines, ["100%", "done", "twice", "", "after an empty line", "7% off"]);
}

#[test]
fn a_failure_says_what_ran_where_and_how_it_ended() {
    let error = sh("echo why >&2; exit 3").run(|_| {}).expect_err("it fails");
    assert_eq!(error.to_string(), "`sh -c 'echo why >&2; exit 3'` exited with status 3");
    let error = sh("kill -9 $$").run(|_| {}).expect_err("it fails");
    assert!(error.to_string().contains("was killed by signal 9"), "{error}");
}

#[test]
fn the_error_for_a_missing_program_names_its_package() {
    let error = Command::new("no-such-program", ["x"], Path::new("/")).run(|_| {}).expect_err("there is none");
    assert!(matches!(&error, CommandError::NotFound { program } if program == "no-such-program"), "{error}");
    let error = CommandError::NotFound { program: "nginx".to_owned() };
    assert!(error.to_string().contains("apt-get install nginx"), "{error}");
}

#[test]
fn a_limited_environment_has_only_the_named_and_the_added_variables() {
    let mut command = Command::new("env", [""; 0], Path::new("/")).with_env([("GIVEN", "1")]);
    command.environment = Environment::only(["PATH"]);
    let names: Vec<_> = lines(&command).1.iter().filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect();
    assert!(names.iter().all(|name| ["PATH", "GIVEN"].contains(&name.as_str())), "{names:?}");
    assert!(names.contains(&"GIVEN".to_owned()));
}
