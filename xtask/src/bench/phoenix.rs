//! An app in the shape of Phoenix's, with a database: how much of an upgrade is mix's work, the
//! migration's and the service's, and how much is Gatling's own.

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatling_tests::{PhoenixApp, Postgres, Sandbox};

use super::app;
use super::numbers::{Spread, median, milliseconds};
use super::scripts::write_program;
use super::stopwatch::{MIX_IS, Stopwatch, Times};
use super::table::Table;
use crate::shell::quoted;

/// Rounds that are not counted: after them there are as many releases as are kept, and each upgrade
/// removes one.
const WARM_UPS: usize = 2;

/// A file with a module, and what marks one version of it in the page that it makes.
const MODULE: &str = "lib/shop_web/router.ex";
const HEADING: &str = "<h1>Shop</h1>";
/// An asset. Its digest stands in the page.
const ASSET: &str = "assets/js/app.js";

/// What `mix phx.gen.release` has `bin/migrate` do.
const MIGRATE: &str = "cd -P -- \"$(dirname -- \"$0\")\" && ./shop eval Shop.Release.migrate";

/// What a push changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    Module,
    Asset,
}

const CHANGES: [Change; 3] = [Change::Nothing, Change::Module, Change::Asset];

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nothing => "nothing changed",
            Self::Module => "one changed module",
            Self::Asset => "a changed asset",
        })
    }
}

/// One upgrade.
struct Upgrade {
    /// `gatling upgrade`, as a process.
    whole: Duration,
    programs: Times,
}

impl Upgrade {
    /// What none of the programs took.
    fn ours(&self) -> f64 {
        let Times { mix, migration, service } = self.programs;
        milliseconds(self.whole) - milliseconds(mix + migration + service)
    }
}

/// How long what an upgrade leaves in the background may take.
const PAUSE: Duration = Duration::from_secs(3);

/// What was measured.
pub(super) struct Phoenix(Vec<(Change, Vec<Upgrade>)>);

impl Phoenix {
    /// Deploys the app in a sandbox of its own, and upgrades it again and again.
    pub(super) fn measure(sandbox: &Sandbox, rounds: usize) -> Result<Self> {
        println!("Upgrading a Phoenix app with its real programs and PostgreSQL\n");
        let scene = Scene::set(sandbox)?;
        let mut lanes: Vec<_> = CHANGES.into_iter().map(|change| (change, Vec::new())).collect();
        for round in 0..WARM_UPS + rounds {
            for turn in 0..CHANGES.len() {
                let (change, upgrades) = &mut lanes[(round + turn) % CHANGES.len()];
                let upgrade = scene.upgrade(*change).with_context(|| format!("upgrading with {change}"))?;
                if round >= WARM_UPS {
                    upgrades.push(upgrade);
                }
            }
        }
        Ok(Self(lanes))
    }

    /// How much of an upgrade is Gatling's own time, in milliseconds: after the change with which that
    /// is the most.
    pub(super) fn ours(&self) -> f64 {
        let medians = self.0.iter().map(|(_, upgrades)| median(upgrades.iter().map(Upgrade::ours)));
        medians.max_by(f64::total_cmp).unwrap_or(f64::NAN)
    }

    /// Prints the table.
    pub(super) fn print(&self) {
        let rounds = self.0.first().map_or(0, |(_, upgrades)| upgrades.len());
        println!("`gatling upgrade shop`, a Phoenix app with a database ({rounds} rounds)\n");
        let mut table = Table::new(["ms", "whole", "mix", "migration", "service", "ours"]);
        for (change, upgrades) in &self.0 {
            let cell = |part: fn(&Upgrade) -> f64| format!("{:.0}", Spread::of(upgrades.iter().map(part)));
            table.add([
                change.to_string(),
                cell(|upgrade| milliseconds(upgrade.whole)),
                cell(|upgrade| milliseconds(upgrade.programs.mix)),
                cell(|upgrade| milliseconds(upgrade.programs.migration)),
                cell(|upgrade| milliseconds(upgrade.programs.service)),
                cell(Upgrade::ours),
            ]);
        }
        println!("{table}");
        println!("Each cell: the median, and the half of all times around it.");
        println!("  mix        {MIX_IS}");
        println!("  migration  `bin/migrate`, which runs `bin/shop eval`");
        println!(
            "  service    the init script: the new release starts beside the old one, which is then told to stop; watch and soak are \"0s\""
        );
        println!("  ours       the rest\n");
    }
}

/// The app, deployed, with programs around it that note their times.
struct Scene<'s> {
    sandbox: &'s Sandbox,
    app: PhoenixApp<'s>,
    stopwatch: Stopwatch,
    /// How many versions there were.
    number: Cell<usize>,
    /// Serves as long as the app does.
    _postgres: Postgres,
}

impl<'s> Scene<'s> {
    fn set(sandbox: &'s Sandbox) -> Result<Self> {
        let folder = sandbox.root().join("bench");
        let stopwatch = Stopwatch::new(&folder)?;
        // What the operator names comes first on the PATH of a run.
        let operator = fs::read_to_string(sandbox.config())?;
        let programs = stopwatch.programs.display();
        fs::write(sandbox.config(), format!("path = [\"{programs}\"]\n{operator}"))?;

        let postgres = Postgres::start(sandbox)?;
        let app = sandbox.phoenix_app()?.with_release_overlays()?;
        app.write("rel/overlays/bin/migrate", &stopwatch.timed("migration", MIGRATE))?;
        app.write("gatling.toml", "[health]\nwatch = \"0s\"\nsoak = \"0s\"\n\n[mix]\nsession = false\n")?;
        app.replace(MODULE, HEADING, &marked(0))?;
        app.commit("Timed")?;
        sandbox.run(&["load", app.name()])?.expect_success()?;
        app.configure(&postgres)?;
        app.deploy()?;

        // Without Gatling's mark it is taken for the operator's own, and left alone.
        let script = sandbox.etc().join(app.name());
        let real = folder.join("init-script");
        fs::rename(&script, &real)?;
        let call = format!("{} \"$@\"", quoted(&real.to_string_lossy()));
        write_program(&script, &stopwatch.timed("service", &call))?;
        Ok(Self { sandbox, app, stopwatch, number: Cell::new(0), _postgres: postgres })
    }

    /// Times an upgrade, and sees to it that visitors get what was changed.
    fn upgrade(&self, change: Change) -> Result<Upgrade> {
        let before = self.sandbox.get("/")?;
        self.commit(change)?;
        self.push_only()?;
        // The last upgrade still removes an old release, and the old app still stops.
        thread::sleep(PAUSE);
        self.stopwatch.reset()?;
        let (whole, said) = app::time(&mut self.sandbox.gatling(&["upgrade", self.app.name()]))?;
        let after = self.sandbox.get("/")?;
        let is_as_before = after == before;
        ensure!(
            after.0 == 200 && is_as_before == (change == Change::Nothing),
            "visitors got {before:?} before, and get {after:?} now:\n{said}"
        );
        Ok(Upgrade { whole, programs: self.stopwatch.times()? })
    }

    fn commit(&self, change: Change) -> Result<()> {
        let old = self.number.replace(self.number.get() + 1);
        match change {
            Change::Nothing => {}
            Change::Module => {
                let text = self.app.read(MODULE)?;
                let (heading, _) =
                    text.split_once(HEADING).and_then(|(_, rest)| rest.split_once('\n')).context(MODULE)?;
                self.app.replace(MODULE, &format!("{HEADING}{heading}"), &marked(old + 1))?;
            }
            Change::Asset => {
                let text = self.app.read(ASSET)?;
                self.app.write(ASSET, &format!("{text}// Version {}\n", old + 1))?;
            }
        }
        self.app.commit(&format!("Version {}", old + 1))
    }

    /// Pushes without the hook that would deploy it.
    fn push_only(&self) -> Result<()> {
        let receive = "--receive-pack=git -c core.hooksPath=/dev/null receive-pack";
        self.app.push_refs(&[receive, "main"])?.expect_success()?;
        Ok(())
    }
}

/// What the page says with version `number` of its module.
fn marked(number: usize) -> String {
    format!("{HEADING}<!-- version {number} -->")
}
