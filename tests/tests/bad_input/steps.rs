//! Problems that only a step can find.

use std::fs;
use std::path::Path;

use gatling_tests::server::{Run, Server, Shared, VERSION, answer};
use gatling_tests::{Output, http};

use crate::{assert_says, assert_untouched};

/// The server for runs that fail at a step. It is separate, so that these tests run in parallel to the others.
static LATE: Shared = Shared::new();

/// Pushes the project and asserts that `step` fails with `words`.
#[track_caller]
fn assert_step_fails(server: &Server, step: &str, words: &[&str]) -> Run {
    let run = server.push().unwrap();
    assert_eq!(run.code, Some(1), "the exit code; it said:\n{}", run.text());
    assert_says(&run, &[&format!("the step {step}"), "push again"]);
    assert_says(&run, words);
    run
}

/// Asserts that hello 0.1.0 serves and is the current release.
#[track_caller]
fn assert_old_release_serves(server: &Server) {
    assert_eq!(server.serving().unwrap().answer, (200, answer(VERSION)));
    server.script(&["status"]).unwrap().expect_code(0).unwrap();
    let current = fs::read_link(server.deploy_dir().join("current")).unwrap();
    assert_eq!(current, Path::new("releases").join(VERSION));
}

#[test]
fn a_compile_error_ends_the_run_with_the_compilers_message() {
    let server = LATE.lock();
    let before = server.serving().unwrap();
    server.hello.set_version("0.2.0").unwrap();
    server.hello.replace("lib/hello.ex", "do: @version", "do: no_such_function()").unwrap();

    let run =
        assert_step_fails(&server, "mix_compile", &["no_such_function", "lib/hello.ex:", "hello 0.1.0 is serving."]);

    assert!(!run.text().contains("mix_digest"), "a later step was begun:\n{}", run.text());
    assert_untouched(&server, &before);
}

#[test]
fn a_port_that_another_program_listens_on_is_refused_before_the_old_release_is_stopped() {
    let server = LATE.lock();
    let before = server.serving().unwrap();
    let port = http::taken_port().unwrap();
    server.gatling(&["config", "set", "hello", &format!("PORT={port}")]).unwrap().expect_code(0).unwrap();
    server.hello.set_version("0.2.0").unwrap();

    assert_step_fails(
        &server,
        "upgrade_service",
        &[&format!("another program listens on port {port}"), "gatling config set hello PORT="],
    );

    assert_untouched(&server, &before);
    assert_old_release_serves(&server);
}

#[test]
fn a_release_that_crashes_at_boot_is_replaced_by_the_old_one_and_its_last_output_is_shown() {
    let server = LATE.lock();
    server.hello.set_version("0.2.0").unwrap();
    server
        .hello
        .replace("lib/hello/application.ex", "children = [", "raise \"no such planet\"\n    children = [")
        .unwrap();

    assert_step_fails(&server, "upgrade_service", &["no such planet", "stopped by itself"]);

    assert_old_release_serves(&server);
}

#[test]
fn a_release_that_is_never_healthy_is_replaced_by_the_old_one() {
    let server = LATE.lock();
    server.hello.set_version("0.2.0").unwrap();
    server.hello.replace("lib/hello/router.ex", "{200, \"ok\\n\"}", "{503, \"not today\\n\"}").unwrap();
    server.hello.replace("lib/hello/connection.ex", "%{200", "%{503 => \"Service Unavailable\", 200").unwrap();
    server.hello.replace("gatling.toml", "path = \"/health\"", "path = \"/health\"\ntimeout = \"2s\"").unwrap();

    assert_step_fails(&server, "upgrade_service", &["still answers with 503 at", "/health after 2 s"]);

    assert_old_release_serves(&server);
}

#[test]
fn if_nginx_rejects_the_site_in_the_last_step_the_old_one_is_restored_byte_for_byte() {
    let server = LATE.lock();
    let site = server.sandbox.nginx_dir().join("sites-available/hello");
    let before = fs::read(&site).unwrap();
    server.hello.write("domains", "www.example.com\nshop.example.com\n").unwrap();
    server.hello.set_version("0.2.0").unwrap();
    // A site that nginx rejects, written after the trial of the new site.
    let other = server.sandbox.nginx_dir().join("sites-enabled/other");
    let write = format!("[fn _ -> File.write!({other:?}, \"nonsense;\") end, \"hello.digest\"]");
    server.hello.replace("mix.exs", "[\"hello.digest\"]", &write).unwrap();

    let run = server.push().unwrap();

    fs::remove_file(other).unwrap();
    assert_eq!(run.code, Some(1), "the exit code; it said:\n{}", run.text());
    let restored = format!("the previous {} was restored", site.display());
    assert_says(&run, &["the step configure_nginx", "unknown directive \"nonsense\"", &restored, "push again"]);
    assert_eq!(fs::read(&site).unwrap(), before);
    // nginx is the last step, so the app itself was already upgraded.
    server.sandbox.wait_for_answer(200, &answer("0.2.0")).unwrap();
    let mut check = server.sandbox.command("nginx", Path::new("/"));
    check.arg("-t").arg("-c").arg(server.sandbox.nginx_dir().join("nginx.conf"));
    Output::of(&mut check).unwrap().expect_success().unwrap();
}

#[test]
fn if_another_server_uses_nginxs_port_it_is_named_and_the_old_site_still_serves() {
    let server = LATE.lock();
    let taken = http::taken_port().unwrap();
    fs::write(server.sandbox.config(), format!("[nginx]\nlisten = [\"127.0.0.1:{taken}\"]\n")).unwrap();
    server.hello.set_version("0.2.0").unwrap();

    let run = server.push().unwrap();

    assert_eq!(run.code, Some(1), "the exit code; it said:\n{}", run.text());
    assert_says(&run, &[&format!("127.0.0.1:{taken}"), "another program", "push again"]);
    let (status, body) = server.sandbox.get("/").unwrap();
    assert_eq!((status, body.split(' ').next()), (200, Some("hello")));
}

#[test]
fn a_hundred_host_names_and_a_wildcard_are_served() {
    let server = LATE.lock();
    let names: String = (0..100).map(|number| format!("shop-{number}.example.com\n")).collect();
    server
        .hello
        .write("domains", &format!("# The first is the app's own.\nwww.example.com\n*.example.org\n{names}"))
        .unwrap();
    server.hello.set_version("0.2.0").unwrap();

    server.push().unwrap().expect_code(0).unwrap();

    for host in ["www.example.com", "any.example.org", "shop-0.example.com", "shop-99.example.com"] {
        assert_eq!(server.sandbox.get_as(host, "/").unwrap(), (200, answer("0.2.0")), "{host}");
    }
    assert_eq!(server.sandbox.get_as("shop-100.example.com", "/").unwrap().0, 404);
}

#[test]
fn a_mix_release_that_builds_nothing_is_a_failure() {
    let server = LATE.lock();
    let before = server.serving().unwrap();
    server.hello.replace("mix.exs", "[\"hello.digest\"]]", "[\"hello.digest\"], release: &idle/1]").unwrap();
    let idle = "\n  defp idle(_args), do: IO.puts(\"not today\")\nend\n";
    server.hello.replace("mix.exs", "\nend\n", &format!("\n{idle}")).unwrap();

    assert_step_fails(&server, "mix_release", &["wrote no new release", "mix.exs", "hello 0.1.0 is serving."]);

    assert_untouched(&server, &before);
}

#[test]
fn only_the_deploy_branch_of_a_push_with_two_refs_is_deployed() {
    let server = LATE.lock();
    server.hello.set_version("0.2.0").unwrap();
    server.hello.commit("Version 0.2.0").unwrap();
    server.hello.git(&["branch", "--force", "experiment", "main~1"]).unwrap();

    let run = server.push_refs(&["+main", "+experiment"]).unwrap().expect_code(0).unwrap();

    assert_says(&run, &["refs/heads/experiment is not the deploy branch of hello", "hello 0.2.0 is serving"]);
    server.sandbox.wait_for_answer(200, &answer("0.2.0")).unwrap();
}

#[test]
fn unrelated_output_of_mix_exs_is_ignored() {
    let server = LATE.lock();
    let rubbish =
        "IO.puts(\"gatling\\n\\e[31mversion 9.9.9\")\nIO.binwrite(<<255, 0, 10>>)\nIO.write(\"no line end\")\n";
    let text = server.hello.read("mix.exs").unwrap();
    server.hello.write("mix.exs", &format!("{rubbish}{text}")).unwrap();
    server.hello.set_version("0.2.0").unwrap();

    server.push().unwrap().expect_code(0).unwrap();

    server.sandbox.wait_for_answer(200, &answer("0.2.0")).unwrap();
}
