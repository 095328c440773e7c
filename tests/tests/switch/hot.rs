//! Upgrades in place: the same process runs the new code.

use gatling_tests::processes;
use rustix::process::{Pid, Signal, kill_process};

use super::*;

/// hello 0.1.0 serves, and is upgraded in place.
fn hot_server<'s>(sandbox: &'s Sandbox, soak: &str) -> Project<'s> {
    let hello = sandbox.load("hello").unwrap();
    sandbox.let_nodes_connect("hello").unwrap();
    load::prepare(&hello).unwrap();
    hello.replace("gatling.toml", "soak = \"0s\"", &format!("soak = \"{soak}\"")).unwrap();
    hello.replace("gatling.toml", "[health]", "strategy = \"hot\"\n\n[health]").unwrap();
    hello.commit("Upgraded in place").unwrap();
    hello.deploy().unwrap();
    sandbox.wait_for_answer(200, "hello 0.1.0\n").unwrap();
    hello
}

/// The process of the app.
fn pid(sandbox: &Sandbox) -> String {
    let file = sandbox.home().join("deployments/hello/run/hello.pid");
    fs::read_to_string(file).unwrap().trim().to_owned()
}

#[test]
fn an_upgrade_in_place_keeps_the_process_and_loses_no_request() {
    let sandbox = Sandbox::new().unwrap();
    let hello = hot_server(&sandbox, "0s");
    let before = pid(&sandbox);
    let load = Load::start(sandbox.nginx_port(), &VISITORS);
    for version in ["0.2.0", "0.3.0", "0.4.0"] {
        let output = push(&hello, version);
        assert!(output.says(", hot") && output.says(&format!("hello {version} is serving")), "{output:?}");
        assert!(output.says(&format!("{version} runs in the same process as before, pid {before}")), "{output:?}");
        sandbox.wait_for_answer(200, &format!("hello {version}\n")).unwrap();
        let status = gatling(&sandbox, &["status", "hello"], 0);
        assert!(status.says(&format!("hello {version} is serving")), "{status:?}");
    }
    let output = gatling(&sandbox, &["rollback", "hello"], 0);
    assert!(output.says("hello 0.3.0 is serving") && output.says("same process as before"), "{output:?}");
    assert_eq!(pid(&sandbox), before);

    hello.set_version("0.5.0").unwrap();
    hello.commit("0.5.0").unwrap();
    // Pushed, but not deployed.
    hello.git(&["push", "-q", &sandbox.home().join("hello").display().to_string(), "main:refs/heads/next"]).unwrap();
    sandbox.git(&sandbox.home().join("hello"), &["update-ref", "refs/heads/main", "refs/heads/next"]).unwrap();
    let output = gatling(&sandbox, &["upgrade", "hello", "--explain"], 0);
    let said = ["hello 0.3.0 -> 0.5.0", "{load,{'Elixir.Hello',soft_purge,soft_purge}}", "could be upgraded to 0.5.0"];
    assert!(said.iter().all(|text| output.says(text)), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap().1, "hello 0.3.0\n");
    let status = gatling(&sandbox, &["status", "hello"], 0);
    assert!(status.says("hello 0.3.0 is serving"), "{status:?}");
    // So that also those who wait see it.
    thread::sleep(Duration::from_secs(4));
    let seen = load.stop();
    check(&seen, &["0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.3.0"]);
    assert!(seen.iter().all(|seen| seen.ended == 0), "the WebSocket ended: {seen:?}");
}

/// A process with a state that each version counts up when it takes over.
const COUNTER: &str = r#"defmodule Hello.Counter do
  use GenServer

  def start_link(_), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)
  def value, do: GenServer.call(__MODULE__, :value)

  @impl true
  def init(_), do: {:ok, ["began with 1"]}
  @impl true
  def handle_call(:value, _, state), do: {:reply, Enum.join(state, ", "), state}
  @impl true
  def code_change(_, state, _), do: {:ok, state}
end
"#;

/// Adds the counter, and pages that show more of the node.
fn add_pages(hello: &Project<'_>) {
    hello.write("lib/hello/counter.ex", COUNTER).unwrap();
    hello.replace("lib/hello/application.ex", "children = [", "children = [\n      Hello.Counter,").unwrap();
    let pages = r#"defp route("/counter"), do: {200, Hello.Counter.value()}
  defp route("/config"), do: {200, inspect(Application.get_env(:hello, :colour)) <> inspect(Application.get_env(:hello, :put))}
  defp route("/put"), do: {200, inspect(Application.put_env(:hello, :put, 1))}
  defp route("/priv"), do: {200, Path.basename(Application.app_dir(:hello))}
  defp route("/slow") do"#;
    hello.replace("lib/hello/router.ex", "defp route(\"/slow\") do", pages).unwrap();
}

#[test]
fn an_upgrade_in_place_takes_state_config_and_files_along() {
    let sandbox = Sandbox::new().unwrap();
    let hello = hot_server(&sandbox, "1s");
    // The app's supervision tree changes, so this is not done in place.
    add_pages(&hello);
    let output = push(&hello, "0.2.0");
    let why = "so the strategy is blue-green this time: Hello.Application has changed";
    assert!(output.says(why) && output.says("hello 0.2.0 is serving"), "{output:?}");
    let before = pid(&sandbox);
    let page = |path: &str| sandbox.get(path).unwrap().1;
    assert_eq!(page("/counter"), "began with 1");
    assert_eq!(page("/config"), "nilnil");
    page("/put");

    hello.replace("lib/hello/counter.ex", "{:ok, state}", "{:ok, state ++ [\"changed to 2\"]}").unwrap();
    hello
        .replace(
            "config/runtime.exs",
            "import Config\n",
            "import Config\nconfig :hello, colour: System.fetch_env!(\"PORT\") != nil\n",
        )
        .unwrap();
    hello.write("lib/hello/extra.ex", "defmodule Hello.Extra do\n  def text, do: \"extra\"\nend\n").unwrap();
    let output = push(&hello, "0.3.0");
    assert!(output.says(&format!("0.3.0 runs in the same process as before, pid {before}")), "{output:?}");
    assert_eq!(page("/counter"), "began with 1, changed to 2");
    assert_eq!(page("/config"), "true1");
    assert_eq!(page("/priv"), "hello-0.3.0");
    let run = sandbox.home().join("deployments/hello/run");
    assert!(!run.join("in-place").exists(), "the config was left on the disk");

    // A module goes, and the supervisor starts the current release when the process dies, though it was started as 0.2.0.
    hello.remove("lib/hello/extra.ex").unwrap();
    let output = push(&hello, "0.4.0");
    assert!(output.says("0.4.0 runs in the same process as before"), "{output:?}");
    let number = before.parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
    sandbox.wait_for_answer_at("/counter", 200, "began with 1").unwrap();
    assert_eq!(page("/"), "hello 0.4.0\n");
    assert!(pid(&sandbox) != before);
}

#[test]
fn what_cannot_be_upgraded_in_place_is_started_beside_and_the_push_says_why() {
    let sandbox = Sandbox::new().unwrap();
    let hello = hot_server(&sandbox, "0s");
    let falls_back = |output: &Output, version: &str, why: &str| {
        let warning = format!("so the strategy is blue-green this time: {why}");
        assert!(output.says(&warning) && output.says(&format!("hello {version} is serving")), "{why}: {output:?}");
        wait_until_alone(&sandbox, version);
    };

    hello.replace("lib/hello/router.ex", "not found", "nothing there").unwrap();
    hello.commit("The version is the same").unwrap();
    falls_back(&hello.push().unwrap(), "0.1.0+2", "both are version 0.1.0: raise `version` in mix.exs");

    gatling(&sandbox, &["config", "set", "hello", "COLOUR=red"], 0);
    falls_back(
        &push(&hello, "0.2.0"),
        "0.2.0",
        "an app reads its variables when it starts, and these have changed: COLOUR",
    );

    fs::create_dir_all(hello.dir().join("priv")).unwrap();
    hello.write("priv/native.so", "one").unwrap();
    falls_back(&push(&hello, "0.3.0"), "0.3.0", "native code in hello's priv folder has changed");

    // A release that is not whole.
    hello.replace("mix.exs", "aliases", "releases: [hello: [steps: [:assemble, &damage/1]]],\n      aliases").unwrap();
    let damage = r#"defp damage(release) do
    File.rm!(Path.join(release.version_path, "hello.rel"))
    release
  end

  def application do"#;
    hello.replace("mix.exs", "def application do", damage).unwrap();
    falls_back(&push(&hello, "0.3.5"), "0.3.5", "the release 0.3.5 is not whole");
    hello.replace("mix.exs", ", &damage/1", "").unwrap();
    hello.replace("mix.exs", "defp damage", "def damage").unwrap();
    // This one is compared with the damaged one.
    falls_back(&push(&hello, "0.3.6"), "0.3.6", "the release 0.3.5 is not whole");

    // The node does not find its way, as without epmd.
    gatling(&sandbox, &["config", "set", "hello", "RELEASE_DISTRIBUTION=none"], 0);
    falls_back(&push(&hello, "0.4.0"), "0.4.0", "an app reads its variables");
    falls_back(
        &push(&hello, "0.5.0"),
        "0.5.0",
        "nothing can connect to its node, because of RELEASE_DISTRIBUTION=none",
    );

    // An older version is as good as a newer one.
    gatling(&sandbox, &["config", "unset", "hello", "RELEASE_DISTRIBUTION"], 0);
    falls_back(&push(&hello, "0.6.0"), "0.6.0", "an app reads its variables");
    let output = push(&hello, "0.5.5");
    assert!(output.says("0.5.5 runs in the same process as before"), "{output:?}");

    // A Task that goes on with what it has. An Agent has no code of its own.
    hello.write("lib/hello/kept.ex", KEPT).unwrap();
    hello.replace("lib/hello/application.ex", "children = [", "children = [Hello.Loop, Hello.Store, ").unwrap();
    falls_back(&push(&hello, "0.7.0"), "0.7.0", "Hello.Application has changed");
    hello.replace("lib/hello/kept.ex", "a store", "another store").unwrap();
    let output = push(&hello, "0.8.0");
    assert!(output.says("0.8.0 runs in the same process as before"), "{output:?}");
    hello.replace("lib/hello/kept.ex", "a loop", "another loop").unwrap();
    falls_back(&push(&hello, "0.9.0"), "0.9.0", "a Task of Hello.Loop does not end");
}

const KEPT: &str = r#"defmodule Hello.Loop do
  use Task
  def start_link(_), do: Task.start_link(__MODULE__, :run, [])
  def run, do: Process.sleep(:infinity)
  def text, do: "a loop"
end

defmodule Hello.Store do
  use Agent
  def start_link(_), do: Agent.start_link(fn -> 1 end)
  def text, do: "a store"
end
"#;

#[test]
fn the_projects_own_appup_is_used() {
    let sandbox = Sandbox::new().unwrap();
    let hello = hot_server(&sandbox, "0s");
    // As a project would do it: a step of its build writes the file beside the app's modules.
    let write = r#"releases: [hello: [steps: [&appup/1, :assemble]]],
      aliases"#;
    hello.replace("mix.exs", "aliases", write).unwrap();
    let step = r#"defp appup(release) do
    if File.exists?("hello.appup"), do: File.cp!("hello.appup", Path.join(Mix.Project.compile_path(), "hello.appup"))
    release
  end

  def application do"#;
    hello.replace("mix.exs", "def application do", step).unwrap();
    let appup = |up: &str| format!("{{\"0.2.0\", [{{<<\"0\\\\.1\\\\..*\">>, [{up}]}}], []}}.\n");
    hello.write("hello.appup", &appup("{load_module, 'Elixir.Hello'")).unwrap();
    let output = push(&hello, "0.2.0");
    assert!(output.says("strategy is blue-green this time: hello.appup cannot be read: 1: syntax error"), "{output:?}");

    hello.write("hello.appup", &appup("restart_emulator").replace("0.2.0", "0.3.0").replace(".1", ".2")).unwrap();
    let output = push(&hello, "0.3.0");
    assert!(output.says("blue-green this time: an .appup says that the app must be restarted"), "{output:?}");

    let own = "{load_module, 'Elixir.Hello'}, {apply, {'Elixir.IO', puts, [<<\"the own appup\">>]}}";
    hello.write("hello.appup", &appup(own).replace("0.2.0", "0.4.0").replace(".1", ".3")).unwrap();
    let output = push(&hello, "0.4.0");
    assert!(output.says("0.4.0 runs in the same process as before"), "{output:?}");
    let log = gatling(&sandbox, &["logs", "hello"], 0);
    assert!(log.says("the own appup"), "{log:?}");
}

#[test]
fn an_upgrade_in_place_that_fails_is_taken_back() {
    let sandbox = Sandbox::new().unwrap();
    let hello = hot_server(&sandbox, "3s");
    add_pages(&hello);
    push(&hello, "0.2.0");
    let before = pid(&sandbox);

    // It answers with errors: the old code is loaded again, in the same process.
    hello.replace("lib/hello/router.ex", "{200, \"ok\\n\"}", "{500, \"oh no\"}").unwrap();
    let load = Load::start(sandbox.nginx_port(), &[(Kind::Slow, 2)]);
    let output = push(&hello, "0.3.0");
    assert!(output.says("the previous release was restored") && output.says("hello 0.2.0 is serving"), "{output:?}");
    assert_eq!(pid(&sandbox), before);
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
    drop(load.stop());
    hello.replace("lib/hello/router.ex", "{500, \"oh no\"}", "{200, \"ok\\n\"}").unwrap();

    // Erlang stops a node whose state it cannot change: the old release is started again.
    hello.replace("lib/hello/counter.ex", "{:ok, state}", "raise \"what a state\"").unwrap();
    let output = push(&hello, "0.4.0");
    assert!(output.says("hello: failed: "), "{output:?}");
    assert!(output.says("hello 0.2.0 is serving") && pid(&sandbox) != before, "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));

    // It dies while it is watched.
    let before = pid(&sandbox);
    hello
        .replace(
            "lib/hello/counter.ex",
            "raise \"what a state\"",
            "(spawn(fn -> Process.sleep(1500) && System.halt(1) end) && {:ok, state})",
        )
        .unwrap();
    let output = push(&hello, "0.5.0");
    assert!(output.says("0.5.0 died") && output.says("hello 0.2.0 is serving"), "{output:?}");
    assert!(pid(&sandbox) != before);
    hello
        .replace(
            "lib/hello/counter.ex",
            "(spawn(fn -> Process.sleep(1500) && System.halt(1) end) && {:ok, state})",
            "{:ok, state}",
        )
        .unwrap();
    let output = push(&hello, "0.6.0");
    assert!(output.says("0.6.0 runs in the same process as before"), "{output:?}");
}

#[test]
fn a_run_that_is_killed_during_an_upgrade_in_place_is_completed() {
    let sandbox = Sandbox::new().unwrap();
    let hello = hot_server(&sandbox, "20s");
    let before = pid(&sandbox);
    hello.set_version("0.2.0").unwrap();
    hello.commit("0.2.0").unwrap();
    let push = sandbox.start(&mut hello.push_command(&["main"])).unwrap();
    sandbox.wait_for_answer(200, "hello 0.2.0\n").unwrap();
    let worker = sandbox.worker().unwrap();
    kill_process(worker, Signal::KILL).unwrap();
    push.end().unwrap();
    // The supervisor leaves it alone.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
    let status = gatling(&sandbox, &["status", "hello"], 0);
    assert!(status.says("hello 0.2.0 is serving"), "{status:?}");
    assert_eq!(pid(&sandbox), before);
    let current = fs::read_link(sandbox.home().join("deployments/hello/current")).unwrap();
    assert!(current.ends_with("0.2.0"), "{current:?}");
}

#[test]
fn a_rollback_works_although_the_app_does_not_run() {
    let sandbox = Sandbox::new().unwrap();
    let hello = hot_server(&sandbox, "0s");
    push(&hello, "0.2.0");
    let mut stop = sandbox.command(sandbox.etc().join("hello"), sandbox.root());
    Output::of(stop.arg("stop")).unwrap().expect_success().unwrap();
    fs::remove_dir_all(sandbox.home().join("deployments/hello/releases/0.2.0/hello/bin")).unwrap();
    let output = gatling(&sandbox, &["rollback", "hello"], 0);
    assert!(output.says("hello 0.1.0+2 is serving") && !output.says(" in-place "), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));
}

#[test]
fn an_upgrade_in_place_that_nobody_waits_for_does_not_begin() {
    let sandbox = Sandbox::new().unwrap();
    let hello = hot_server(&sandbox, "0s");
    push(&hello, "0.2.0");
    gatling(&sandbox, &["rollback", "hello"], 0);
    let before = pid(&sandbox);
    let rpc = |code: &str| gatling(&sandbox, &["run", "hello", "--", "hello", "rpc", code], 0);
    // Another upgrade in place seems to be under way.
    rpc("spawn(fn -> Process.register(self(), :gatling_in_place) && Process.sleep(:infinity) end)");
    let in_place =
        sandbox.start(sandbox.command(sandbox.etc().join("hello"), sandbox.root()).args(["in-place", "0.2.0"]));
    let in_place = in_place.unwrap();
    // It first asks whether the node can be reached.
    let is_upgrading = |pid: &Pid| {
        let arguments = processes::arguments(*pid);
        arguments.first().is_some_and(|program| program.ends_with("/erl_call"))
            && !arguments.iter().any(|argument| argument.ends_with("-asks"))
    };
    let caller =
        waiting::wait_for("erl_call", || processes::of(sandbox.root()).into_iter().find(|pid| is_upgrading(pid)));
    thread::sleep(Duration::from_secs(1));
    kill_process(caller.unwrap(), Signal::KILL).unwrap();
    let output = in_place.end().unwrap();
    assert!(output.status.code() == Some(3) && output.says("cannot: the node does not answer"), "{output:?}");

    rpc("Process.exit(Process.whereis(:gatling_in_place), :kill)");
    thread::sleep(Duration::from_secs(1));
    let output = rpc("IO.inspect(Process.whereis(:gatling_in_place), label: \"under way\")");
    assert!(output.says("under way: nil"), "{output:?}");
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.1.0\n".to_owned()));

    // Without erl_call, the release's own program does it.
    for folder in fs::read_dir(sandbox.home().join("deployments/hello/releases/0.1.0/hello")).unwrap() {
        _ = fs::remove_file(folder.unwrap().path().join("bin/erl_call"));
    }
    let output = push(&hello, "0.3.0");
    assert!(output.says("0.3.0 runs in the same process as before"), "{output:?}");
    assert_eq!(pid(&sandbox), before);
}

/// Sixty modules, each with the version of the app.
const MODULES: &str = r#"for number <- 1..60 do
  defmodule Module.concat(Hello, "Part#{number}") do
    @version Mix.Project.config()[:version]
    def version, do: @version
  end
end
"#;

#[test]
fn no_request_meets_modules_of_two_versions() {
    let sandbox = Sandbox::new().unwrap();
    let hello = hot_server(&sandbox, "0s");
    hello.write("lib/hello/parts.ex", MODULES).unwrap();
    hello
        .replace(
            "lib/hello/router.ex",
            "defp route(\"/\"), do:",
            "defp route(\"/\"), do: Hello.Part1.version() == Hello.Part60.version() && text()\n\n  defp text, do:",
        )
        .unwrap();
    push(&hello, "0.2.0");
    let load = Load::start(sandbox.nginx_port(), &[(Kind::Get, 4), (Kind::New, 2)]);
    for version in ["0.3.0", "0.4.0", "0.5.0"] {
        let output = push(&hello, version);
        assert!(output.says(&format!("{version} runs in the same process as before")), "{output:?}");
    }
    gatling(&sandbox, &["rollback", "hello"], 0);
    thread::sleep(Duration::from_millis(500));
    check(&load.stop(), &["0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.4.0"]);
}
