//! What is left after a run that was killed, cancelled or overtaken: some version serves, and the next push works.

mod cancel;
mod clock;
mod killed;
mod leftovers;
mod recovery;
mod strict;
mod told;
mod waiting_runs;

use gatling_tests::component::endless;
use gatling_tests::{Project, Running, Sandbox, waiting};

/// The answer that visitors get from this version.
fn answer(version: &str) -> (u16, String) {
    (200, format!("hello {version}\n"))
}

/// Waits until visitors are served with this version.
fn wait_for_version(sandbox: &Sandbox, version: &str) {
    sandbox.wait_for_answer(200, &answer(version).1).unwrap();
}

/// The release that the init script starts when the server boots.
fn current(sandbox: &Sandbox) -> String {
    let link = std::fs::read_link(sandbox.home().join("deployments/hello/current")).unwrap();
    link.file_name().unwrap().to_str().unwrap().to_owned()
}

/// How the runs of hello ended, the oldest first.
fn outcomes(sandbox: &Sandbox) -> Vec<String> {
    let runs = sandbox.runs("hello").unwrap();
    runs.iter().map(|run| run["outcome"].as_str().unwrap().to_owned()).collect()
}

/// Makes the build run this shell command, in the background, when it digests the assets.
fn start_in_build(hello: &Project<'_>, command: &str) {
    let call = "\"assets.deploy\": [&start/1, ";
    hello.replace("mix.exs", "\"assets.deploy\": [", call).unwrap();
    let function = format!(
        "\n\n  defp start(_args) do\n    System.cmd(\"sh\", [\"-c\", {:?}])\n  end\nend\n",
        format!("({command}) >/dev/null 2>&1 &")
    );
    hello.replace("mix.exs", "\nend\n", &function).unwrap();
}

/// Pushes a hooks file with a hook that never returns, and waits until it is called.
fn push_endless(sandbox: &Sandbox, hello: &Project<'_>, pipeline: &str, hook: &str) -> Running {
    std::fs::write(hello.dir().join(format!("{pipeline}.wasm")), endless(hook)).unwrap();
    hello.commit("A hook that never returns").unwrap();
    let push = hello.start_push(&["main"]).unwrap();
    waiting::wait_for("the hook", || {
        let events = sandbox.events("hello").ok()?;
        events.iter().any(|event| event["event"] == "hook_begun").then_some(())
    })
    .unwrap();
    push
}
