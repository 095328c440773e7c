//! New versions and servers with which an upgrade must fail: the old version serves, and the push says what happened and what
//! to do.

use gatling_tests::mounts::apart;

use super::*;

/// Pushes a version that must not get visitors, and asserts that 0.1.0 still serves them.
fn refused(sandbox: &Sandbox, hello: &Project<'_>, version: &str, says: &[&str]) {
    let load = Load::start(sandbox.nginx_port(), &[(Kind::Get, 2)]);
    let output = push(hello, version);
    check(&load.stop(), &["0.1.0"]);
    assert!(says.iter().all(|text| output.says(text)), "{says:?} is not in {output:?}");
    assert!(output.says("hello 0.1.0 is serving") && output.says("Fix it and push again"), "{output:?}");
    gatling(sandbox, &["status", "hello"], 0);
    wait_until_alone(sandbox, "0.1.0");
}

/// Has `mix release` do this with the new release, in Elixir, when it is built.
fn after_release(hello: &Project<'_>, code: &str) {
    let steps = "releases: [hello: [steps: [:assemble, &change/1]]],\n      aliases";
    hello.replace("mix.exs", "aliases", steps).unwrap();
    let step = format!("defp change(release) do\n    {code}\n    release\n  end\n\n  def application do");
    hello.replace("mix.exs", "def application do", &step).unwrap();
}

#[test]
fn a_release_for_another_machine_gets_no_traffic() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    // An ELF file for AArch64, where this is x86-64, and the other way round.
    let machine = if cfg!(target_arch = "x86_64") { 183 } else { 62 };
    let code = format!(
        r#"for file <- Path.wildcard(release.path <> "/erts-*/bin/*"), File.regular?(file) do
      header = <<0x7F, "ELF", 2, 1, 1, 0::72, 2::16-little, {machine}::16-little, 1::32-little>>
      File.write!(file, [header, :binary.copy(<<0>>, 200)])
    end"#
    );
    after_release(&hello, &code);
    refused(&sandbox, &hello, "0.2.0", &["0.2.0 stopped by itself before it answered", "Exec format error"]);
}

#[test]
fn a_health_check_that_gets_no_good_answer_keeps_the_old_version() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    hello.replace("gatling.toml", "path = \"/health\"", "path = \"/health\"\ntimeout = \"6s\"").unwrap();
    let original = hello.read("lib/hello/router.ex").unwrap();
    let healthy = "{200, \"ok\\n\"}";
    for (version, answer, says) in [
        ("0.2.0", "{500, \"oh no\"}", "answers with 500 at"),
        ("0.3.0", "{Process.sleep(:infinity), \"\"}", "within 6 s"),
    ] {
        hello.write("lib/hello/router.ex", &original.replace(healthy, answer)).unwrap();
        refused(&sandbox, &hello, version, &[says]);
    }

    // It leads to a page that nobody serves.
    let original = hello.read("lib/hello/connection.ex").unwrap();
    hello
        .write(
            "lib/hello/router.ex",
            &hello.read("lib/hello/router.ex").unwrap().replace("{Process.sleep(:infinity), \"\"}", "{302, \"\"}"),
        )
        .unwrap();
    let nowhere = "\"connection: #{if keep?, do: \"keep-alive\", else: \"close\"}\\r\\nlocation: http://www.example.com:9/\\r\\n\\r\\n\"";
    let changed = original
        .replace("\"connection: #{if keep?, do: \"keep-alive\", else: \"close\"}\\r\\n\\r\\n\"", nowhere)
        .replace("%{200", "%{302 => \"Found\", 200");
    hello.write("lib/hello/connection.ex", &changed).unwrap();
    refused(
        &sandbox,
        &hello,
        "0.4.0",
        &["redirects to http://www.example.com:9/, where no server answers: nginx does not serve"],
    );
}

#[test]
fn an_app_that_is_killed_for_its_memory_while_it_starts_gets_no_traffic() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    hello.replace("gatling.toml", "watch = \"0s\"", "watch = \"4s\"").unwrap();
    // What the kernel does when memory is short.
    let kill =
        "children = [\n      {Task, fn -> Process.sleep(2_000); System.cmd(\"kill\", [\"-9\", System.pid()]) end},";
    hello.replace("lib/hello/application.ex", "children = [", kill).unwrap();
    refused(&sandbox, &hello, "0.2.0", &["0.2.0 answered, and stopped by itself"]);
}

#[test]
fn a_disk_that_is_full_while_the_release_is_copied_keeps_the_old_version() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    hello.write("priv/large", &"x".repeat(30_000_000)).unwrap();
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    let releases = sandbox.home().join("deployments/hello/releases");
    let releases = releases.display();
    // A disk of its own, with the release that serves and hardly more.
    let script = format!(
        "cp -a {releases} {releases}.kept && mount -t tmpfs -o size=40m tmpfs {releases} && cp -a {releases}.kept/. {releases} \
         && exec git push server +main"
    );
    let Some(mut push) = apart(&sandbox, hello.dir(), &script) else { return };
    let output = Output::of(&mut push).unwrap();
    assert!(output.says("No space left on device") && output.says("hello 0.1.0 is serving"), "{output:?}");
    assert!(output.says("the step copy_release_to_upgrade"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));

    let output = hello.push_refs(&["+main"]).unwrap();
    assert!(!output.says("No space left"), "{output:?}");
    let output = gatling(&sandbox, &["upgrade", "hello"], 0);
    assert!(output.says("hello 0.2.0 is serving"), "{output:?}");
}

#[test]
fn a_port_that_another_program_has_taken_since_is_not_used() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    push(&hello, "0.2.0");
    wait_until_alone(&sandbox, "0.2.0");
    // The port of the other slot.
    let settings = fs::read_to_string(sandbox.home().join("deployments/hello/current/service.env")).unwrap();
    let port = settings.lines().find_map(|line| line.strip_prefix("GATLING_OTHER_PORT='")?.strip_suffix('\''));
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port.unwrap().parse().unwrap())).unwrap();
    let load = Load::start(sandbox.nginx_port(), &[(Kind::Get, 2)]);
    let output = push(&hello, "0.3.0");
    assert!(output.says("hello 0.3.0 is serving"), "{output:?}");
    // nginx had to learn another port, and closes connections that are idle then.
    for seen in load.stop() {
        assert_eq!(seen.versions, ["0.2.0", "0.3.0"], "{seen:?}");
        assert!(seen.errors.len() <= 1, "{seen:?}");
    }
}

#[test]
fn two_upgrades_and_a_rollback_at_once_end_with_one_that_serves() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    push(&hello, "0.2.0");
    let load = Load::start(sandbox.nginx_port(), &[(Kind::Get, 2), (Kind::New, 1)]);
    hello.set_version("0.3.0").unwrap();
    hello.commit("0.3.0").unwrap();
    let first = hello.start_push(&["main"]).unwrap();
    let rollback = sandbox.start(&mut sandbox.gatling(&["rollback", "hello"])).unwrap();
    hello.set_version("0.4.0").unwrap();
    hello.commit("0.4.0").unwrap();
    let second = hello.start_push(&["main"]).unwrap();
    for run in [first, rollback, second] {
        run.end().unwrap();
    }
    let status = gatling(&sandbox, &["status", "hello"], 0);
    let (_, answer) = sandbox.get("/").unwrap();
    assert!(status.says(&format!("{} is serving", answer.trim())), "{answer:?} is served, and {status:?}");
    let seen = load.stop();
    assert!(seen.iter().all(|seen| seen.errors.is_empty()), "{seen:?}");
    // Whatever it is, the next push works.
    let output = push(&hello, "0.5.0");
    assert!(output.says("hello 0.5.0 is serving"), "{output:?}");
    wait_until_alone(&sandbox, "0.5.0");
}

#[test]
fn a_site_of_another_project_that_nginx_rejects_keeps_the_old_version() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    let other = sandbox.nginx_dir().join("sites-enabled/other");
    fs::write(&other, "server {\n  listen nonsense nonsense;\n}\n").unwrap();
    // nginx does not have to be reloaded for a new version.
    let output = push(&hello, "0.2.0");
    assert!(output.says("hello 0.2.0 is serving"), "{output:?}");
    wait_until_alone(&sandbox, "0.2.0");
    // But for a new host name.
    hello.write("domains", "www.example.com\nhello.example.com\nnew.example.com\n").unwrap();
    let output = push(&hello, "0.3.0");
    assert!(output.says("sites-enabled/other") && output.says("hello 0.2.0 is serving"), "{output:?}");
    fs::remove_file(other).unwrap();
    let output = push(&hello, "0.4.0");
    assert!(output.says("hello 0.4.0 is serving at www.example.com, hello.example.com, new.example.com"), "{output:?}");
}
