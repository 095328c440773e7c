//! Upgrades, restarts and rollbacks on servers that are not as they should be.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use gatling_tests::{Output, Sandbox, http};

use super::{gatling, push, server, wait_until_alone};

fn stop(sandbox: &Sandbox) {
    let mut stop = sandbox.command(sandbox.etc().join("hello"), sandbox.root());
    Output::of(stop.arg("stop")).unwrap().expect_success().unwrap();
}

#[test]
fn an_app_that_is_down_is_deployed_although_the_site_must_change() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    stop(&sandbox);
    gatling(&sandbox, &["config", "set", "hello", &format!("PORT={}", http::free_port().unwrap())], 0);
    let output = push(&hello, "0.2.0");
    assert!(output.says("the app does not answer while it is restarted: visitors are not served now"), "{output:?}");
    assert!(output.says("hello 0.2.0 is serving"), "{output:?}");
}

#[test]
fn after_an_upgrade_to_another_port_that_failed_the_app_can_be_restarted() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    gatling(&sandbox, &["config", "set", "hello", &format!("PORT={}", http::free_port().unwrap())], 0);
    hello.replace("lib/hello/application.ex", "children = [", "raise \"no such planet\"\n    children = [").unwrap();
    let output = push(&hello, "0.2.0");
    assert!(output.says("hello 0.1.0 is serving."), "{output:?}");
    let output = gatling(&sandbox, &["restart", "hello"], 0);
    assert!(output.says("hello 0.1.0+2 is serving") && output.says("visitors get 0.1.0+2 now"), "{output:?}");
}

#[test]
fn a_rollback_to_a_release_of_an_older_version_of_gatling_works() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    // What it did not write.
    let settings = sandbox.home().join("deployments/hello/releases/0.1.0/service.env");
    let text = fs::read_to_string(&settings).unwrap();
    let new = ["SLOT", "TOKEN", "OTHER_PORT", "SOAK_SECONDS", "DRAIN_SECONDS", "REPOS"];
    let is_old = |line: &&str| !new.iter().any(|name| line.starts_with(&format!("GATLING_{name}=")));
    fs::write(&settings, text.lines().filter(is_old).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    assert!(push(&hello, "0.2.0").says("hello 0.2.0 is serving"));
    let output = gatling(&sandbox, &["rollback", "hello"], 0);
    assert!(
        output.says("so a copy of it is started: 0.1.0+2") && output.says("hello 0.1.0+2 is serving"),
        "{output:?}"
    );
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn a_push_repairs_the_folder_that_nginx_reads() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    push(&hello, "0.2.0");
    fs::remove_dir_all(sandbox.lib().join("hello")).unwrap();
    assert_eq!(sandbox.get("/").unwrap().0, 502);
    let output = push(&hello, "0.3.0");
    assert!(output.says("hello 0.3.0 is serving"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.3.0\n".to_owned()));
    wait_until_alone(&sandbox, "0.3.0");
}

#[test]
fn a_boot_starts_the_app_even_if_the_folder_that_nginx_reads_is_gone() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    push(&hello, "0.2.0");
    stop(&sandbox);
    fs::remove_dir_all(sandbox.lib().join("hello")).unwrap();
    let mut start = sandbox.command(sandbox.etc().join("hello"), sandbox.root());
    let output = Output::of(start.arg("start")).unwrap().expect_success().unwrap();
    assert!(output.says("cannot get visitors") && output.says("0.2.0 answers on port"), "{output:?}");
    wait_until_alone(&sandbox, "0.2.0");
}

#[test]
fn five_restarts_do_not_push_out_the_code_of_before() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    push(&hello, "0.2.0");
    for _ in 0..5 {
        gatling(&sandbox, &["restart", "hello"], 0);
    }
    let output = gatling(&sandbox, &["rollback", "hello"], 0);
    assert!(output.says("hello 0.1.0"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn a_health_check_can_ask_for_one_status_and_for_several_answers() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    hello.replace("gatling.toml", "[health]", "[health]\nstatus = 200\nsuccesses = 12").unwrap();
    hello
        .replace(
            "lib/hello/router.ex",
            "defp route(\"/health\"), do:",
            "defp route(\"/health\"), do: {404, \"\"}\n  defp route(\"/healthy\"), do:",
        )
        .unwrap();
    let output = push(&hello, "0.2.0");
    assert!(output.says("0.2.0 runs, but answers with 404 instead of 200 at http://127.0.0.1:"), "{output:?}");
    assert!(output.says("hello 0.1.0 is serving"), "{output:?}");

    let asked = sandbox.root().join("asked");
    let notes = format!(
        "defp route(\"/health\") do\n    File.write!(\"{}\", \"x\", [:append])\n    {{200, \"\"}}\n  end",
        asked.display()
    );
    hello.replace("lib/hello/router.ex", "defp route(\"/health\"), do: {404, \"\"}", &notes).unwrap();
    let output = push(&hello, "0.3.0");
    assert!(output.says("hello 0.3.0 is serving"), "{output:?}");
    // Gatling also visits it through nginx, some times less than that.
    assert!(fs::read(&asked).unwrap().len() >= 12, "{:?}", fs::read(&asked));
}

#[test]
fn the_node_itself_is_asked_for_its_version() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    sandbox.let_nodes_connect("hello").unwrap();
    let output = push(&hello, "0.2.0");
    assert!(output.says("check-version 0.2.0") && !output.says("could not be asked"), "{output:?}");
    assert!(output.says("hello 0.2.0 is serving"), "{output:?}");

    // A release without erl_call, whose `bin/hello rpc` does something else.
    let steps = "releases: [hello: [steps: [:assemble, &replace_rpc/1]]],\n      aliases";
    hello.replace("mix.exs", "aliases", steps).unwrap();
    let step = r#"defp replace_rpc(release) do
    program = Path.join(release.path, "bin/hello")
    File.rename!(program, program <> "-real")
    File.cp!("rpc.sh", program)
    [release.path, "erts-*/bin/erl_call"] |> Path.join() |> Path.wildcard() |> Enum.each(&File.rm!/1)
    release
  end

  def application do"#;
    hello.replace("mix.exs", "def application do", step).unwrap();
    let rpc = |does: &str| {
        let script = format!("#!/bin/sh\n[ \"$1\" = rpc ] || exec \"$0-real\" \"$@\"\n{does}\n");
        hello.write("rpc.sh", &script).unwrap();
        fs::set_permissions(hello.dir().join("rpc.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    rpc("echo gatling-version 0.2.0");
    let output = push(&hello, "0.3.0");
    let why = "0.3.0 should run version 0.3.0, but its node says 0.2.0";
    assert!(output.says(why) && output.says("hello 0.2.0 is serving"), "{output:?}");

    rpc("exec sleep 100");
    let output = push(&hello, "0.4.0");
    let why = "the node of 0.4.0 could not be asked for its version";
    assert!(output.says(why) && output.says("hello 0.4.0 is serving"), "{output:?}");
}
