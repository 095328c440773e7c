//! What is wrong on the server.

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
fn a_port_that_is_no_number_is_refused() {
    let change = |server: &Server| {
        server.gatling(&["config", "set", "hello", "PORT=abc"]).unwrap().expect_code(0).unwrap();
    };
    assert_push_refused(change, &["PORT is \"abc\"", ".env", "gatling config set hello PORT="]);
}

#[test]
fn a_dotenv_that_was_broken_by_hand_is_refused_and_the_line_named() {
    let change = |server: &Server| fs::write(server.dotenv(), "A=1\nSECRET=$(pass show hello)\n").unwrap();
    assert_push_refused(change, &["deployments/hello/.env", "line 2", "single quotes"]);
}

/// Pushes an upgrade to where `mounts`, shell commands, have changed what files there are.
#[track_caller]
fn assert_push_refused_with_mounts(mounts: impl FnOnce(&Server) -> String, words: &[&str]) {
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    // With the site as it was, nginx wouldn't be needed.
    server.hello.write("domains", "www.example.com\nshop.example.com\n").unwrap();
    server.hello.commit("Another domain").unwrap();
    let script = format!("{}\nexec git push server +main", mounts(&server));
    let Some(mut push) = apart(server.sandbox, server.hello.dir(), &script) else { return };

    let run = server.push_with(&mut push).unwrap();

    assert_refused(&run, words);
    assert_says(&run, &["hello 0.1.0 is serving.", "push again"]);
    assert_untouched(&server, &before);
}

/// A shell command that hides a program wherever the `PATH` leads to it.
fn hide(server: &Server, program: &str) -> String {
    let empty = server.sandbox.root().join("empty");
    fs::write(&empty, "").unwrap();
    format!(
        "for file in $(which -a {program} | xargs realpath | sort -u); do mount --bind {} $file; done",
        empty.display()
    )
}

#[test]
fn without_nginx_nothing_is_begun() {
    assert_push_refused_with_mounts(|server| hide(server, "nginx"), &["no program nginx", "apt-get install nginx"]);
}

#[test]
fn without_mix_nothing_is_begun() {
    assert_push_refused_with_mounts(|server| hide(server, "mix"), &["no program mix", "apt-get install elixir"]);
}

#[test]
fn without_elixir_nothing_is_begun() {
    assert_push_refused_with_mounts(|server| hide(server, "elixir"), &["no Elixir", "apt-get install elixir"]);
}

#[test]
fn a_read_only_deploy_folder_is_refused() {
    let mounts = |server: &Server| {
        let folder = server.deploy_dir().display().to_string();
        format!("mount --bind {folder} {folder}; mount -o remount,ro,bind {folder}")
    };
    assert_push_refused_with_mounts(mounts, &["deployments/hello cannot be written to", "make it writable"]);
}

#[test]
fn files_that_were_changed_by_hand_are_not_overwritten_and_the_way_out_is_told() {
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    let file = server.build_dir().join("lib/hello.ex");
    let by_hand = format!("# mended by hand\n{}", fs::read_to_string(&file).unwrap());
    fs::write(&file, &by_hand).unwrap();
    server.hello.set_version("0.0.0").unwrap();

    let run = server.push().unwrap();

    assert_refused(&run, &["changed by hand", "lib/hello.ex", "hello 0.1.0 is serving."]);
    assert_eq!(fs::read_to_string(&file).unwrap(), by_hand);
    assert_untouched(&server, &before);

    let told = run.text();
    let way_out = told.split('`').filter(|part| part.starts_with("git -C")).find(|part| part.contains(" checkout "));
    let way_out = way_out.unwrap_or_else(|| panic!("no command for taking the changes back is named:\n{told}"));
    let mut sh = server.sandbox.command("sh", Path::new("/"));
    Output::of(sh.args(["-c", way_out])).unwrap().expect_success().unwrap();
    let run = server.gatling(&["upgrade", "hello"]).unwrap();
    assert_refused(&run, &["the version 0.0.0"]);
}
