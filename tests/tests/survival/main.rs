//! What is left after a run that was killed, cancelled or overtaken: some version serves, and the next push works.

mod cancel;
mod clock;
mod leftovers;
mod recovery;
mod strict;
mod told;
mod waiting_runs;

use gatling_tests::component::{USE, component_around, contract};
use gatling_tests::{Project, Sandbox, waiting};

/// A component with this hook, which never returns.
fn endless(hook: &str) -> Vec<u8> {
    let module = format!(
        r#"(module
      (memory (export "memory") 1)
      (func (export "{hook}") (param i32) (loop (br 0)))
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))"#
    );
    component_around(&module, &format!("{USE} export {hook}: func(env: env);"), &[&contract()])
}

/// The answer that visitors get from this version.
fn answer(version: &str) -> (u16, String) {
    (200, format!("hello {version}\n"))
}

/// Waits until visitors are served with this version.
fn wait_for_version(sandbox: &Sandbox, version: &str) {
    waiting::wait_for(version, || sandbox.get("/").ok().filter(|got| *got == answer(version))).unwrap();
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
