//! Problems of the project's other files, which are found before the first step.

use std::fs;
use std::os::unix::fs::symlink;

use gatling_tests::Output;
use gatling_tests::server::Server;

use crate::{EARLY, assert_push_refused, assert_refused, assert_untouched};

#[test]
fn version_zero_is_refused() {
    let change = |server: &Server| server.hello.set_version("0.0.0").unwrap();
    assert_push_refused(change, &["mix.exs", "0.0.0", "set `version:`"]);
}

#[test]
fn a_mix_exs_that_does_not_compile_is_refused_with_elixirs_message() {
    let change = |server: &Server| server.hello.replace("mix.exs", "def project do", "def project d").unwrap();
    assert_push_refused(change, &["mix cannot load the project", "mix.exs:"]);
}

#[test]
fn a_mix_exs_of_another_app_is_refused() {
    let change = |server: &Server| server.hello.replace("mix.exs", "app: :hello", "app: :goodbye").unwrap();
    assert_push_refused(change, &["`app: :goodbye`", "loaded as hello", "gatling load goodbye"]);
}

#[test]
fn a_project_without_domains_is_refused() {
    let change = |server: &Server| server.hello.remove("domains").unwrap();
    assert_push_refused(change, &["file `domains`", "echo www.example.com > domains"]);
}

#[test]
fn a_misspelt_key_in_the_projects_settings_is_refused_and_named() {
    let change = |server: &Server| server.hello.write("gatling.toml", "[health]\npfad = \"/\"\n").unwrap();
    assert_push_refused(change, &["gatling.toml", "line 2", "pfad", "timeout"]);
}

#[test]
fn a_mix_exs_that_raises_is_refused_with_its_message() {
    let change = |server: &Server| {
        let text = server.hello.read("mix.exs").unwrap();
        server.hello.write("mix.exs", &format!("{text}\nraise \"no such planet\"\n")).unwrap();
    };
    assert_push_refused(change, &["mix cannot load the project's mix.exs", "no such planet"]);
}

#[test]
fn a_project_for_a_newer_elixir_is_refused_and_both_versions_are_named() {
    let change = |server: &Server| server.hello.replace("mix.exs", "\"~> 1.14\"", "\"~> 1.99\"").unwrap();
    assert_push_refused(change, &["~> 1.99", "Elixir 1."]);
}

#[test]
fn a_file_that_is_a_symlink_is_refused_and_not_read() {
    for name in ["domains", "nginx.conf", "gatling.toml"] {
        let change = |server: &Server| {
            let file = server.hello.dir().join(name);
            _ = fs::remove_file(&file);
            symlink("/etc/passwd", file).unwrap();
        };
        let message = format!("`{name}` must be a regular file, not a symlink");
        assert_push_refused(change, &[&message]);
    }
}

#[test]
fn a_fifo_is_refused_without_waiting_for_its_content() {
    let server = EARLY.lock();
    let before = server.serving().unwrap();
    // git cannot transfer a FIFO, so it is made on the server.
    let mut mkfifo = server.sandbox.command("mkfifo", &server.build_dir());
    Output::of(mkfifo.arg("nginx.conf")).unwrap().expect_success().unwrap();

    let run = server.gatling(&["upgrade", "hello"]).unwrap();

    fs::remove_file(server.build_dir().join("nginx.conf")).unwrap();
    assert_refused(&run, &["`nginx.conf` must be a regular file, not a FIFO"]);
    assert_untouched(&server, &before);
}

#[test]
fn a_file_that_is_too_large_is_refused_with_the_allowed_size() {
    for (name, longest) in [("domains", 128 * 1024), ("nginx.conf", 1024 * 1024)] {
        let change = |server: &Server| server.hello.write(name, &"a.example\n".repeat(1024 * 1024)).unwrap();
        let message = format!("`{name}` has 10485760 bytes; it may have at most {longest}");
        assert_push_refused(change, &[&message]);
    }
}

#[test]
fn an_internationalised_domain_is_refused_with_the_form_that_browsers_send() {
    let change = |server: &Server| server.hello.write("domains", "größe.example\n").unwrap();
    assert_push_refused(change, &["größe.example", "write it as `xn--gre-6ka8i.example`"]);
}

#[test]
fn a_site_that_nginx_rejects_is_refused_before_anything_is_changed() {
    let change = |server: &Server| {
        let port = server.sandbox.nginx_port();
        let broken = format!("server {{\n  listen 127.0.0.1:{port};\n  server_nam www.example.com;\n}}\n");
        server.hello.write("nginx.conf", &broken).unwrap();
    };
    assert_push_refused(change, &["nginx rejects the site", "unknown directive \"server_nam\""]);
}
