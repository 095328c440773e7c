//! What both sides play on: a deployed app whose every program is a stand-in.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result};
use gatling_tests::{Output, Sandbox};

use super::HOOKS;
use super::app::{self, App, PROJECT, VERSION};
use super::projects::Language;
use super::recording::{Call, PROGRAMS, Recorder, write_program};
use super::scripts::Interpreter;
use crate::shell::quoted;

/// Has Gatling start mix for each step: a stand-in is no session.
const PLAIN_STARTS: &str = "\n[mix]\nsession = false\n";
/// The stand-in for the init script starts nothing that could run beside something.
const RESTART: &str = "strategy = \"restart\"\n";

/// A deployed app, stand-ins for all programs, and a script that runs them as Gatling does.
pub(super) struct Stage<'s> {
    app: App<'s>,
    folder: PathBuf,
}

impl<'s> Stage<'s> {
    /// Deploys the example app for real, records one upgrade of it, and puts the stand-ins in
    /// place.
    pub(super) fn set(sandbox: &'s Sandbox) -> Result<Self> {
        let stage = Self { app: App::deploy(sandbox, RESTART, PLAIN_STARTS)?, folder: sandbox.root().join("bench") };
        let calls = stage.record()?;
        stage.keep_port_open()?;
        stage.write_stand_ins(&calls)?;
        stage.write_script(&calls)?;
        for interpreter in Interpreter::ALL {
            interpreter.write_hooks(&stage.hooks(Some(interpreter)))?;
        }
        Ok(stage)
    }

    /// The folder of the hooks that are scripts for `interpreter`.
    pub(super) fn hooks(&self, interpreter: Option<Interpreter>) -> PathBuf {
        self.folder.join("hooks").join(interpreter.map_or("none", Interpreter::name))
    }

    /// Times `gatling upgrade`, with the hooks in one language or none.
    pub(super) fn time_gatling(&self, hooks: Option<Language>) -> Result<Duration> {
        self.reset()?;
        self.app.set_hooks(hooks)?;
        self.app.time_upgrade(self.app.upgrade().env("PATH", self.stand_ins()))
    }

    /// Times the script, with hooks of one kind for it to find, or none.
    pub(super) fn time_script(&self, hooks: Option<Interpreter>) -> Result<Duration> {
        self.reset()?;
        let mut command = self.app.sandbox.command("/bin/bash", &self.app.build_dir());
        // Hooks are real programs, and find what they need.
        command.arg(self.script()).arg(self.hooks(hooks)).arg(self.real_path()?).env("PATH", self.stand_ins());
        Ok(app::time(&mut command)?.0)
    }

    /// Puts everything back to how it was before an upgrade.
    fn reset(&self) -> Result<()> {
        self.app.clear();
        let current = self.app.deploy_dir().join("current");
        fs::remove_file(&current)?;
        symlink(Path::new("releases").join(VERSION), current)?;
        Ok(())
    }

    fn script(&self) -> PathBuf {
        self.folder.join("upgrade.sh")
    }

    fn stand_ins(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// The sandbox's own `PATH`.
    fn real_path(&self) -> Result<String> {
        let command = self.app.upgrade();
        let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
        Ok(path.context("the sandbox sets no PATH")?.to_string_lossy().into_owned())
    }

    /// Upgrades for real, with recorders before the real programs, and stops the app.
    fn record(&self) -> Result<Vec<Call>> {
        let path = self.real_path()?;
        let recorder = Recorder::new(&self.folder, &path)?;
        let script = self.app.init_script();
        let real = self.folder.join("init-script");
        fs::rename(&script, &real)?;
        recorder.record(&script, &real.to_string_lossy())?;

        let recorders = [recorder.programs.clone()].into_iter().chain(env::split_paths(&path));
        let path = env::join_paths(recorders).context("putting the recorders on the PATH")?;
        Output::of(self.app.upgrade().env("PATH", path))?.expect_success()?;
        let calls = recorder.calls()?;
        let sandbox = self.app.sandbox;
        Output::of(sandbox.command(real, sandbox.root()).arg("stop"))?.expect_success()?;
        Ok(calls)
    }

    /// Gatling looks whether anything accepts connections on the app's port.
    fn keep_port_open(&self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.app.port)).context("taking the app's place")?;
        thread::spawn(move || listener.incoming().for_each(drop));
        Ok(())
    }

    /// Programs that do nothing, except for what Gatling would otherwise stop over.
    fn write_stand_ins(&self, calls: &[Call]) -> Result<()> {
        let bin = self.stand_ins();
        fs::create_dir_all(&bin)?;
        for program in PROGRAMS {
            let place = bin.join(program);
            match program {
                // Their answers decide what Gatling does next.
                "elixir" | "git" => write_program(&place, &replaying(program, calls))?,
                "mix" => write_program(&place, &self.releasing())?,
                _ => symlink("/bin/true", &place)?,
            }
        }
        let link = self.app.deploy_dir().join("current");
        let switch = format!("#!/bin/sh\nexec /bin/ln -sfn \"releases/$2\" {}\n", quoted(&link.to_string_lossy()));
        write_program(&self.app.init_script(), &switch)
    }

    /// A mix that leaves the one file by which a release is known to be new.
    fn releasing(&self) -> String {
        let marker = self.app.build_dir().join(format!("_build/prod/rel/{PROJECT}/releases/start_erl.data"));
        let marker = quoted(&marker.to_string_lossy());
        format!("#!/bin/sh\nif [ \"$1\" = release ]; then echo '13 {VERSION}' >{marker}; fi\n")
    }

    /// A script that makes the same calls, with a hook before and after each step.
    fn write_script(&self, calls: &[Call]) -> Result<()> {
        let mut script = String::from(
            "set -e\nhooks=$1 path=$2\nhook() { if [ -x \"$hooks/$1\" ]; then PATH=$path \"$hooks/$1\"; fi; }\n",
        );
        for (number, hook) in HOOKS.iter().enumerate() {
            script += &format!("hook {hook}\n");
            // Where in the script a call stands makes no difference to its time.
            let share = calls.len() * number / HOOKS.len()..calls.len() * (number + 1) / HOOKS.len();
            calls[share].iter().for_each(|call| script += &line(call));
        }
        fs::write(self.script(), script)?;
        Ok(())
    }
}

/// A call as a line of the script.
fn line(call: &Call) -> String {
    let words = [&call.program].into_iter().chain(&call.arguments).map(|word| quoted(word));
    let may_fail = if call.status == 0 { "" } else { " || :" };
    format!("{}{may_fail}\n", words.collect::<Vec<_>>().join(" "))
}

/// A program that says what the real one said to the same arguments.
fn replaying(program: &str, calls: &[Call]) -> String {
    let mut script = String::from("#!/bin/sh\ncase $* in\n");
    for call in calls.iter().filter(|call| call.program == program) {
        let arguments = quoted(&call.arguments.join(" "));
        script += &format!("{arguments}) printf %s {}; exit {};;\n", quoted(&call.output), call.status);
    }
    script + "esac\necho \"was not called like this: $*\" >&2\nexit 1\n"
}
