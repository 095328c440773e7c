//! Problems of the server.

use std::fs;
use std::path::Path;

use gatling_tests::Output;
use gatling_tests::mounts::apart;
use gatling_tests::server::Server;

use crate::{EARLY, assert_push_refused, assert_refused, assert_says, assert_untouched};

#[test]
fn a_misspelt_key_in_the_operators_file_is_refused_and_named() {
    let change = |server: &Server| fs::write(server.sandbox.config(), "mixenv = \"prod\"\n").unwrap();
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    change(&server);

    let run = server.push().unwrap();

    assert_refused(&run, &["operator.toml", "line 1", "mixenv", "mix_env"]);
    assert_untouched(&server, &before);
}

#[test]
fn a_port_that_is_not_a_number_is_refused() {
    let change = |server: &Server| {
        server.gatling(&["config", "set", "hello", "PORT=abc"]).unwrap().expect_code(0).unwrap();
    };
    assert_push_refused(change, &["PORT is \"abc\"", ".env", "gatling config set hello PORT="]);
}

#[test]
fn an_invalid_dotenv_is_refused_and_the_line_is_named() {
    let change = |server: &Server| fs::write(server.dotenv(), "A=1\nSECRET=$(pass show hello)\n").unwrap();
    assert_push_refused(change, &["deployments/hello/.env", "line 2", "single quotes"]);
}

/// Pushes an upgrade after the shell commands `mounts` have mounted other files, and asserts that it is refused.
#[track_caller]
fn assert_push_refused_with_mounts(mounts: impl FnOnce(&Server) -> String, words: &[&str]) {
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    // If the site did not change, nginx would not be needed.
    server.hello.write("domains", "www.example.com\nshop.example.com\n").unwrap();
    server.hello.commit("Another domain").unwrap();
    let script = format!("{}\nexec git push server +main", mounts(&server));
    let Some(mut push) = apart(server.sandbox, server.hello.dir(), &script) else { return };

    let run = server.push_with(&mut push).unwrap();

    assert_refused(&run, words);
    assert_says(&run, &["hello 0.1.0 is serving.", "push again"]);
    assert_untouched(&server, &before);
}

/// A shell command that hides a program everywhere on the `PATH`.
fn hide(server: &Server, program: &str) -> String {
    let empty = server.sandbox.root().join("empty");
    fs::write(&empty, "").unwrap();
    format!(
        "for file in $(which -a {program} | xargs realpath | sort -u); do mount --bind {} $file; done",
        empty.display()
    )
}

#[test]
fn no_step_runs_without_nginx() {
    assert_push_refused_with_mounts(|server| hide(server, "nginx"), &["no program nginx", "apt-get install nginx"]);
}

#[test]
fn no_step_runs_without_mix() {
    assert_push_refused_with_mounts(|server| hide(server, "mix"), &["no program mix", "apt-get install elixir"]);
}

#[test]
fn no_step_runs_without_elixir() {
    assert_push_refused_with_mounts(
        |server| hide(server, "elixir"),
        &["Elixir is not installed on this server", "apt-get install elixir"],
    );
}

#[test]
fn a_read_only_deploy_folder_is_refused() {
    let mounts = |server: &Server| {
        let folder = server.deploy_dir().display().to_string();
        format!("mount --bind {folder} {folder}; mount -o remount,ro,bind {folder}")
    };
    assert_push_refused_with_mounts(mounts, &["deployments/hello is not writable", "make it writable"]);
}

#[test]
fn files_changed_by_hand_are_not_overwritten_and_the_error_names_the_command_that_undoes_them() {
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    let file = server.build_dir().join("lib/hello.ex");
    let by_hand = format!("# fixed by hand\n{}", fs::read_to_string(&file).unwrap());
    fs::write(&file, &by_hand).unwrap();
    server.hello.set_version("0.0.0").unwrap();

    let run = server.push().unwrap();

    assert_refused(&run, &["changed by hand", "lib/hello.ex", "hello 0.1.0 is serving."]);
    assert_eq!(fs::read_to_string(&file).unwrap(), by_hand);
    assert_untouched(&server, &before);

    let text = run.text();
    let undo = text.split('`').filter(|part| part.starts_with("git -C")).find(|part| part.contains(" checkout "));
    let undo = undo.unwrap_or_else(|| panic!("the output names no command that undoes the changes:\n{text}"));
    let mut sh = server.sandbox.command("sh", Path::new("/"));
    Output::of(sh.args(["-c", undo])).unwrap().expect_success().unwrap();
    let run = server.gatling(&["upgrade", "hello"]).unwrap();
    assert_refused(&run, &["the version 0.0.0"]);
}
