//! `cargo xtask demo`: what Gatling does, to watch.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gatling_tests::{HOST, Project, Sandbox, places};

use crate::interrupt::Interrupt;
use crate::{guests, setup, shell};

/// Installs and builds what is missing, and shows a deployment and an upgrade in a sandbox,
/// which stays when `keep` says so.
pub(crate) fn demo(keep: bool) -> Result<()> {
    setup::ensure(&setup::DEMO)?;
    println!("Building Gatling and the example's hooks; the first time takes some minutes.");
    let build = ["build", "--package", "gatling"];
    shell::show(shell::cargo().current_dir(places::workspace()).args(build))?;
    let hooks = guests::build(&places::workspace().join("examples/hello/hooks"))?;
    let hooks = hooks.first().context("the example has no hooks")?;

    let interrupt = Interrupt::catch()?;
    let mut sandbox = Sandbox::new()?;
    if let Err(error) = play(&sandbox, hooks, &interrupt) {
        return Err(match save_logs(&sandbox) {
            Some(logs) => error.context(format!("the demo stopped early; its logs are in {}", logs.display())),
            None => error,
        });
    }
    if keep {
        sandbox.keep();
        say_how_to_stop(&sandbox);
    } else {
        heading("Cleaning up");
        println!("Stopping the app and nginx, and removing {}", sandbox.root().display());
    }
    Ok(())
}

fn play(sandbox: &Sandbox, hooks: &Path, interrupt: &Interrupt) -> Result<()> {
    println!(
        "\n\
         Gatling deploys an app to your own server when you push it there with git. The server\n\
         is a folder now, {}: repositories and releases in\n\
         home/, init scripts in etc/, and an nginx of its own on 127.0.0.1:{}.",
        sandbox.root().display(),
        sandbox.nginx_port(),
    );
    let hello = sandbox.project("hello")?;

    heading("On the server: a place to push to");
    interrupt.show(&mut sandbox.gatling(&["load", hello.name()]))?;
    println!("\nOne setting for the app's environment: no Erlang clustering is needed here.");
    let setting = "RELEASE_DISTRIBUTION=none";
    interrupt.show(&mut sandbox.gatling(&["config", "set", hello.name(), setting]))?;

    heading("The first push deploys 0.1.0");
    push(sandbox, &hello, "0.1.0", interrupt)?;

    heading("The next push upgrades to 0.2.0, with hooks");
    println!(
        "upgrade.wasm holds hooks: functions that the app's author wrote, in Rust here, each\n\
         named after the step that it is called before or after.\n"
    );
    hello.set_version("0.2.0")?;
    hello.copy_hooks(hooks, "upgrade.wasm")?;
    hello.commit("Version 0.2.0, with hooks for its upgrade")?;
    let show = ["--no-pager", "show", "--stat", "--format=%s"];
    interrupt.show(sandbox.command("git", hello.dir()).args(show))?;
    println!();
    let check = ["hooks", "check", "upgrade.wasm"];
    interrupt.show(sandbox.gatling(&check).current_dir(hello.dir()))?;
    println!();
    push(sandbox, &hello, "0.2.0", interrupt)
}

/// Pushes and asks nginx for the app. Whether a deployment went well shows there alone: git
/// knows only that the commits arrived.
fn push(sandbox: &Sandbox, project: &Project<'_>, version: &str, interrupt: &Interrupt) -> Result<()> {
    interrupt.show(&mut project.push_command(&["main"]))?;
    let expected = (200, format!("hello {version}\n"));
    let answer = sandbox.get("/")?;
    println!("\nAnd through nginx:");
    let url = format!("http://127.0.0.1:{}/", sandbox.nginx_port());
    let host = format!("Host: {HOST}");
    let curl = ["--silent", "--show-error", "--max-time", "10", "--header", &host, &url];
    interrupt.show(Command::new("curl").args(curl))?;
    if answer != expected {
        bail!("version {version} was pushed, but the answer is {}: {}", answer.0, answer.1.trim_end());
    }
    Ok(())
}

fn heading(text: &str) {
    println!("\n== {text}\n");
    // Time to read it before the next output comes.
    thread::sleep(Duration::from_millis(300));
}

/// Copies what the runs, the app and nginx have logged to the target folder. The sandbox, which
/// goes, is the wrong place to look for it.
fn save_logs(sandbox: &Sandbox) -> Option<PathBuf> {
    let target = places::target_dir().ok()?.join("demo");
    _ = fs::remove_dir_all(&target);
    fs::create_dir_all(&target).ok()?;
    let folders = [
        sandbox.home().join(".gatling/hello/runs"),
        sandbox.home().join("deployments/hello/log"),
        sandbox.nginx_dir().to_path_buf(),
    ];
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let logs = files.filter(|file| file.path().extension().is_some_and(|end| end == "log"));
    for log in logs {
        // Some logs are better than none.
        _ = fs::copy(log.path(), target.join(log.file_name()));
    }
    Some(target)
}

fn say_how_to_stop(sandbox: &Sandbox) {
    heading("Still running");
    println!("To use gatling and git in the sandbox:");
    for (name, value) in sandbox.variables() {
        println!("    export {name}={}", value.display());
    }
    println!("To stop it and remove it:");
    println!("    {}/hello stop", sandbox.etc().display());
    println!("    kill $(cat {})", sandbox.nginx_pid_file().display());
    println!("    rm -r {}", sandbox.root().display());
}
