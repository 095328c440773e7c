//! The example app with its real programs: an upgrade by Gatling against a script that somebody
//! would write.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use gatling_tests::{Output, Sandbox};

use super::app::{self, App, NEXT, PROJECT, VERSION};
use super::projects::RUST;
use super::race::Race;

const SCRIPT: &str = include_str!("real.sh");

/// Rounds that are not counted.
const WARM_UPS: usize = 2;

/// Who is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    /// Gatling, with 16 hooks in Rust or without any.
    Gatling { hooks: bool },
    /// The script.
    Script,
}

const CONTENDERS: [Contender; 3] =
    [Contender::Gatling { hooks: false }, Contender::Gatling { hooks: true }, Contender::Script];

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gatling { hooks: false } => "Gatling, no hooks",
            Self::Gatling { hooks: true } => "Gatling, 16 hooks in Rust",
            Self::Script => "bash, no hooks",
        })
    }
}

/// What was measured.
pub(super) struct Real(Race<Contender>);

impl Real {
    /// Deploys the app in a sandbox of its own, and upgrades it again and again.
    pub(super) fn measure(sandbox: &Sandbox, rounds: usize) -> Result<Self> {
        println!("Upgrading the example app with its real programs\n");
        let scene = Scene::set(sandbox)?;
        Ok(Self(Race::run(CONTENDERS, WARM_UPS, rounds, |contender| scene.time(*contender))?))
    }

    /// How long Gatling takes without hooks, as a part of what the script takes.
    pub(super) fn ratio(&self) -> f64 {
        self.0.ratio(&Contender::Gatling { hooks: false }, &Contender::Script).median
    }

    /// Prints the table.
    pub(super) fn print(&self) {
        println!("An upgrade with the real programs ({} rounds)\n", self.0.rounds());
        println!("{}", self.0.table(|contender| Some(Contender::Script).filter(|base| base != contender)));
        for hooks in [false, true] {
            let sides = (Contender::Gatling { hooks }, Contender::Script);
            let names = format!("{} / {}", sides.0, sides.1);
            println!("{names:60} {:.3}", self.0.ratio(&sides.0, &sides.1));
        }
        println!();
    }
}

/// The app, and the script.
struct Scene<'s> {
    app: App<'s>,
    folder: PathBuf,
}

impl<'s> Scene<'s> {
    fn set(sandbox: &'s Sandbox) -> Result<Self> {
        let scene = Self { app: App::deploy(sandbox)?, folder: sandbox.root().join("bench") };
        fs::create_dir_all(&scene.folder)?;
        fs::write(scene.folder.join("real.sh"), SCRIPT)?;
        let site = sandbox.nginx_dir().join("sites-available").join(PROJECT);
        fs::copy(site, scene.folder.join("nginx-site"))?;
        Ok(scene)
    }

    fn time(&self, contender: Contender) -> Result<Duration> {
        self.app.set_hooks((contender == Contender::Gatling { hooks: true }).then_some(RUST))?;
        let time = match contender {
            Contender::Gatling { .. } => self.app.time_upgrade(&mut self.app.upgrade())?,
            Contender::Script => app::time(&mut self.script())?.0,
        };
        let current = fs::read_link(self.app.deploy_dir().join("current"))?;
        ensure!(current.ends_with(NEXT), "{contender} left {} as the current release", current.display());
        let (status, body) = self.app.sandbox.get("/")?;
        ensure!(status == 200, "{contender} left visitors with {status}: {body}");
        self.reset()?;
        Ok(time)
    }

    fn script(&self) -> Command {
        let mut command = self.app.sandbox.command("/bin/bash", &self.app.build_dir());
        command
            .arg(self.folder.join("real.sh"))
            .env("BENCH_DIR", &self.folder)
            .env("DEPLOY_DIR", self.app.deploy_dir())
            .env("INIT_SCRIPT", self.app.init_script())
            .env("NGINX_DIR", self.app.sandbox.nginx_dir());
        command
    }

    /// Puts back the release that was there before.
    fn reset(&self) -> Result<()> {
        let sandbox = self.app.sandbox;
        let mut command = sandbox.command(self.app.init_script(), sandbox.root());
        Output::of(command.args(["upgrade", VERSION]))?.expect_success()?;
        self.app.clear();
        Ok(())
    }
}
