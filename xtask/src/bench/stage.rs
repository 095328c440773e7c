//! What both sides play on: a deployed app whose every program is a stand-in.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result};
use gatling_tests::{Sandbox, http};

use super::recording::{Call, PROGRAMS, Recorder, write_program};
use crate::shell::quoted;

/// The steps of an upgrade, which the script's hooks are named after.
const STEPS: [&str; 8] = [
    "mix_deps_get",
    "mix_compile",
    "mix_digest",
    "mix_release",
    "make_upgrade_dir",
    "copy_release_to_upgrade",
    "upgrade_service",
    "configure_nginx",
];

const PROJECT: &str = "hello";
const VERSION: &str = "0.1.0";

/// A sandbox with a deployed app, stand-ins for all programs, and a script that runs them as
/// Gatling does.
pub(super) struct Stage<'s> {
    sandbox: &'s Sandbox,
    folder: PathBuf,
    component: PathBuf,
}

impl<'s> Stage<'s> {
    /// Deploys the example app for real, records one upgrade of it, and puts the stand-ins in
    /// place. `component` is the hooks file for the turns with hooks.
    pub(super) fn set(sandbox: &'s Sandbox, component: &Path) -> Result<Self> {
        let stage = Self { sandbox, folder: sandbox.root().join("bench"), component: component.to_owned() };
        let port = stage.deploy()?;
        let calls = stage.record()?;
        stage.keep_port_open(port)?;
        stage.write_stand_ins(&calls)?;
        stage.write_script(&calls)?;
        Ok(stage)
    }

    /// Puts everything back to how it was before an upgrade.
    pub(super) fn reset(&self) -> Result<()> {
        let deployed = self.deploy_dir();
        _ = fs::remove_dir_all(deployed.join("releases").join(format!("{VERSION}+2")));
        _ = fs::remove_dir_all(self.sandbox.home().join(".gatling").join(PROJECT).join("runs"));
        fs::remove_file(deployed.join("current"))?;
        symlink(Path::new("releases").join(VERSION), deployed.join("current"))?;
        Ok(())
    }

    /// `gatling upgrade`, with or without a hooks file in the project.
    pub(super) fn upgrade(&self, hooks: bool) -> Result<Command> {
        let file = self.build_dir().join("upgrade.wasm");
        if hooks {
            fs::copy(&self.component, file)?;
        } else if file.exists() {
            fs::remove_file(file)?;
        }
        let mut command = self.sandbox.gatling(&["upgrade", PROJECT]);
        command.env("PATH", self.stand_ins()).stdin(Stdio::null());
        Ok(command)
    }

    /// The script, with or without hooks for it to find.
    pub(super) fn run_script(&self, hooks: bool) -> Command {
        let mut command = self.sandbox.command("/bin/bash", &self.build_dir());
        let hooks = self.folder.join(if hooks { "hooks" } else { "no-hooks" });
        command.arg(self.script()).arg(hooks).env("PATH", self.stand_ins()).stdin(Stdio::null());
        command
    }

    fn build_dir(&self) -> PathBuf {
        self.sandbox.home().join(PROJECT)
    }

    fn deploy_dir(&self) -> PathBuf {
        self.sandbox.home().join("deployments").join(PROJECT)
    }

    fn init_script(&self) -> PathBuf {
        self.sandbox.etc().join(PROJECT)
    }

    fn script(&self) -> PathBuf {
        self.folder.join("upgrade.sh")
    }

    fn stand_ins(&self) -> PathBuf {
        self.folder.join("bin")
    }

    fn deploy(&self) -> Result<u16> {
        let port = http::free_port()?;
        let gatling = |arguments: &[&str]| self.sandbox.run(arguments)?.expect_success();
        gatling(&["load", PROJECT])?;
        gatling(&["config", "set", PROJECT, "RELEASE_DISTRIBUTION=none", &format!("PORT={port}")])?;
        let push = self.sandbox.project(PROJECT)?.push()?.expect_success()?;
        self.sandbox.get_direct(port, "/").with_context(|| format!("deploying:\n{}", push.stderr))?;
        Ok(port)
    }

    /// Upgrades for real, with recorders before the real programs, and stops the app.
    fn record(&self) -> Result<Vec<Call>> {
        let mut upgrade = self.sandbox.gatling(&["upgrade", PROJECT]);
        let path = upgrade.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
        let path = path.context("the sandbox sets no PATH")?.to_string_lossy().into_owned();
        let recorder = Recorder::new(&self.folder, &path)?;
        let script = self.init_script();
        let real = self.folder.join("init-script");
        fs::rename(&script, &real)?;
        recorder.record(&script, &real.to_string_lossy())?;

        let recorders = [recorder.programs.clone()].into_iter().chain(env::split_paths(&path));
        let path = env::join_paths(recorders).context("putting the recorders on the PATH")?;
        gatling_tests::Output::of(upgrade.env("PATH", path))?.expect_success()?;
        let calls = recorder.calls()?;
        gatling_tests::Output::of(self.sandbox.command(real, self.sandbox.root()).arg("stop"))?.expect_success()?;
        Ok(calls)
    }

    /// Gatling looks whether anything accepts connections on the app's port.
    fn keep_port_open(&self, port: u16) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("taking the app's place")?;
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
        let link = self.deploy_dir().join("current");
        let switch = format!("#!/bin/sh\nexec /bin/ln -sfn \"releases/$2\" {}\n", quoted(&link.to_string_lossy()));
        write_program(&self.init_script(), &switch)
    }

    /// A mix that leaves the one file by which a release is known to be new.
    fn releasing(&self) -> String {
        let marker = self.build_dir().join(format!("_build/prod/rel/{PROJECT}/releases/start_erl.data"));
        let marker = quoted(&marker.to_string_lossy());
        format!("#!/bin/sh\nif [ \"$1\" = release ]; then echo '13 {VERSION}' >{marker}; fi\n")
    }

    /// A script that makes the same calls, with a hook before and after each step.
    fn write_script(&self, calls: &[Call]) -> Result<()> {
        let hooks = self.folder.join("hooks");
        fs::create_dir_all(&hooks)?;
        let mut script =
            String::from("set -e\nhooks=$1\nhook() { if [ -x \"$hooks/$1\" ]; then \"$hooks/$1\"; fi; }\n");
        for (number, step) in STEPS.iter().enumerate() {
            // Where in the script a call stands makes no difference to its time.
            let share = calls.len() * number / STEPS.len()..calls.len() * (number + 1) / STEPS.len();
            script += &format!("hook before_{step}\n");
            calls[share].iter().for_each(|call| script += &line(call));
            script += &format!("hook after_{step}\n");
            for phase in ["before", "after"] {
                write_program(&hooks.join(format!("{phase}_{step}")), "#!/bin/sh\n")?;
            }
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
