//! Direct calls of the script.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::MutexGuard;
use std::thread;

use gatling_tests::server::{Run, Server, Shared, VERSION, answer};
use gatling_tests::{HOST, http, processes, waiting};
use rustix::process::{Pid, Signal, kill_process};

use crate::OTHER;

static SERVER: Shared = Shared::new();

/// The server, with a second release that has served before.
fn server() -> MutexGuard<'static, Server> {
    let server = SERVER.lock();
    if !server.deploy_dir().join("releases").join(OTHER).is_dir() {
        server.hello.set_version(OTHER).unwrap();
        server.push().unwrap().expect_code(0).unwrap();
        server.script(&["upgrade", VERSION]).unwrap().expect_code(0).unwrap();
    }
    server
}

/// Calls the script with `args` and asserts that it exits with `code` and writes all of `words`.
#[track_caller]
fn script(server: &Server, args: &[&str], code: i32, words: &[&str]) -> Run {
    let run = server.script(args).unwrap();
    let text = run.text();
    assert_eq!(run.code, Some(code), "the exit code of {args:?}; it said:\n{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in what {args:?} said:\n{text}");
    }
    run
}

fn pid_file(server: &Server) -> PathBuf {
    server.deploy_dir().join("run/hello.pid")
}

/// A setting of a release.
fn noted(server: &Server, release: &str, name: &str) -> String {
    let text = fs::read_to_string(server.deploy_dir().join("releases").join(release).join("service.env")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("GATLING_{name}='")));
    line.unwrap().trim_end_matches('\'').to_owned()
}

fn port(server: &Server) -> u16 {
    noted(server, VERSION, "PORT").parse().unwrap()
}

fn process(pid: u32) -> Pid {
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

/// Ends a program that the test started. Returns whether it was still running.
fn survived(mut child: Child) -> bool {
    child.kill().unwrap();
    child.wait().unwrap().signal() == Some(Signal::KILL.as_raw())
}

#[test]
fn the_exit_codes_of_status_and_ping_show_whether_the_app_runs() {
    let server = server();
    let pid = server.serving().unwrap().pid;

    script(&server, &["status"], 0, &["0.1.0 runs", &format!("pid {pid}"), &format!("port {}", port(&server))]);
    script(&server, &["ping"], 0, &["pong"]);
    script(&server, &["stop"], 0, &["stopped"]);

    script(&server, &["status"], 3, &["stopped"]);
    script(&server, &["ping"], 1, &["does not answer"]);
}

#[test]
fn start_does_nothing_if_the_app_runs() {
    let server = server();
    let before = server.serving().unwrap();

    script(&server, &["start"], 0, &["is already running", &before.pid.to_string()]);

    assert_eq!(server.serving().unwrap(), before);
}

#[test]
fn stop_ends_the_app_and_a_second_stop_is_not_an_error() {
    let server = server();
    let pid = server.serving().unwrap().pid;

    script(&server, &["stop"], 0, &[]);
    script(&server, &["stop"], 0, &[]);

    assert_eq!(processes::arguments(process(pid)), [""; 0], "it still runs");
    assert!(http::get(port(&server), HOST, "/").is_err(), "something still listens");
}

#[test]
fn restart_starts_a_new_process_of_the_same_release() {
    let server = server();
    let before = server.serving().unwrap();

    script(&server, &["restart"], 0, &["0.1.0 answers"]);

    let after = server.serving().unwrap();
    assert_ne!(after.pid, before.pid);
    assert_eq!(after.answer, before.answer);
}

#[test]
fn a_killed_app_counts_as_stopped_and_can_be_started() {
    let server = server();
    let pid = server.serving().unwrap().pid;
    kill_process(process(pid), Signal::KILL).unwrap();
    waiting::wait_for("the end of the app", || http::get(port(&server), HOST, "/").is_err().then_some(())).unwrap();

    script(&server, &["status"], 3, &["stopped"]);
    script(&server, &["start"], 0, &["0.1.0 answers"]);

    assert_ne!(server.serving().unwrap().pid, pid);
}

#[test]
fn upgrade_switches_to_a_release_and_back() {
    let server = server();

    for version in [OTHER, VERSION] {
        script(&server, &["upgrade", version], 0, &[&format!("{version} answers on port")]);

        assert_eq!(server.serving().unwrap().answer, (200, answer(version)));
        let current = fs::read_link(server.deploy_dir().join("current")).unwrap();
        assert_eq!(current, Path::new("releases").join(version));
        script(&server, &["status"], 0, &[&format!("{version} runs")]);
    }
}

#[test]
fn upgrade_to_a_missing_release_changes_nothing_and_names_the_existing_ones() {
    let server = server();
    let before = server.serving().unwrap();

    for version in ["9.9.9", "../releases/0.2.0", "."] {
        script(&server, &["upgrade", version], 1, &[VERSION, OTHER]);
    }

    assert_eq!(server.serving().unwrap(), before);
}

#[test]
fn a_usage_error_exits_with_2_and_shows_the_usage() {
    let server = server();
    let before = server.serving().unwrap();

    for args in [&[][..], &["dance"], &["--help"], &["upgrade"]] {
        script(&server, args, 2, &["start|stop|restart|status|ping|upgrade VERSION"]);
    }

    assert_eq!(server.serving().unwrap(), before);
}

#[test]
fn a_stale_pid_file_does_not_end_an_unrelated_process() {
    let server = server();
    script(&server, &["stop"], 0, &[]);
    let other = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();

    for (action, code) in [("status", 3), ("stop", 0), ("restart", 0)] {
        fs::write(pid_file(&server), format!("{}\n", other.id())).unwrap();
        script(&server, &[action], code, &[]);
    }

    assert_eq!(server.serving().unwrap().answer, (200, answer(VERSION)));
    assert_ne!(server.serving().unwrap().pid, other.id());
    assert!(survived(other), "one of them ended it");
}

#[test]
fn a_stale_pid_file_does_not_end_a_reader_of_the_apps_log() {
    let server = server();
    script(&server, &["stop"], 0, &[]);
    let log = server.deploy_dir().join("log/hello.log");
    let reader = Command::new("tail").arg("-f").arg(log).stdout(Stdio::null()).spawn().unwrap();
    fs::write(pid_file(&server), format!("{}\n", reader.id())).unwrap();

    let status = server.script(&["status"]).unwrap();
    script(&server, &["stop"], 0, &[]);

    assert!(survived(reader), "stop ended it");
    assert_eq!(status.code, Some(3), "{}", status.text());
}

#[test]
fn upgrade_to_a_port_that_another_program_uses_keeps_the_old_release_serving() {
    let server = server();
    let before = server.serving().unwrap();
    let taken = http::taken_port().unwrap().to_string();
    let settings = server.deploy_dir().join("releases").join(OTHER).join("service.env");
    let own = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, own.replace(&noted(&server, OTHER, "PORT"), &taken)).unwrap();

    let words = [&format!("another program listens on port {taken}"), "nothing was changed", "PORT=NUMBER"];
    let run = server.script(&["upgrade", OTHER]).unwrap();
    fs::write(&settings, own).unwrap();

    assert_eq!(run.code, Some(1), "{}", run.text());
    assert!(words.iter().all(|word| run.text().contains(word)), "{}", run.text());
    assert_eq!(server.serving().unwrap(), before);
    assert_eq!(fs::read_link(server.deploy_dir().join("current")).unwrap(), Path::new("releases").join(VERSION));
}

#[test]
fn start_fails_with_an_error_if_another_program_uses_the_port() {
    let server = server();
    script(&server, &["stop"], 0, &[]);
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, port(&server))).unwrap();

    let words = [&format!("another program listens on port {}", port(&server)), "gatling config set hello PORT="];
    script(&server, &["start"], 1, &words);
    script(&server, &["status"], 3, &[]);
    drop(other);

    script(&server, &["start"], 0, &[]);
}

#[test]
fn start_before_the_first_deployment_says_how_to_deploy() {
    let server = server();
    script(&server, &["stop"], 0, &[]);
    let current = server.deploy_dir().join("current");
    let aside = server.deploy_dir().join("current.aside");
    fs::rename(&current, &aside).unwrap();

    let run = server.script(&["start"]).unwrap();
    fs::rename(&aside, &current).unwrap();

    assert_eq!(run.code, Some(1), "{}", run.text());
    assert!(run.text().contains("gatling deploy hello"), "{}", run.text());
}

#[test]
fn two_concurrent_upgrades_run_one_after_the_other() {
    let server = server();
    let shared = &*server;

    let codes = thread::scope(|scope| {
        let upgrades =
            [OTHER, VERSION].map(|version| scope.spawn(move || shared.script(&["upgrade", version]).unwrap().code));
        upgrades.map(|upgrade| upgrade.join().unwrap())
    });

    assert_eq!(codes, [Some(0), Some(0)]);
    let current = fs::read_link(server.deploy_dir().join("current")).unwrap();
    let version = current.file_name().unwrap().to_str().unwrap();
    assert_eq!(server.serving().unwrap().answer, (200, answer(version)));
    let releases = server.deploy_dir().join("releases").display().to_string();
    let commands =
        fs::read_dir("/proc").unwrap().filter_map(|process| fs::read(process.ok()?.path().join("cmdline")).ok());
    let commands = commands.map(|command| String::from_utf8_lossy(&command).into_owned());
    let running: Vec<_> =
        commands.filter(|command| command.contains(&releases) && command.contains("beam.smp")).collect();
    assert_eq!(running.len(), 1, "{running:#?}");
}
