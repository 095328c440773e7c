//! The hooks of an upgrade, called by Gatling, against as many scripts that a shell starts: both as one process.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::projects::{LANGUAGES, Language, PYTHON, RUST, component};
use super::race::{Race, on_one_cpu};
use super::scripts::{self, Interpreter};
use super::trial::Bench;
use super::{HOOKS, Rounds, app};

/// Rounds that are not counted: they compile the hooks.
const WARM_UPS: usize = 2;

/// Who is timed, and with which hooks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Contender {
    Gatling(Option<Language>),
    Shell(Option<Interpreter>),
}

impl Contender {
    /// The same side without hooks: a start of its program.
    fn bare(self) -> Self {
        match self {
            Self::Gatling(_) => Self::Gatling(None),
            Self::Shell(_) => Self::Shell(None),
        }
    }

    /// What its hooks are measured from: itself has none to measure.
    fn base(&self) -> Option<Self> {
        Some(self.bare()).filter(|bare| bare != self)
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gatling(None) => write!(f, "Gatling, started"),
            Self::Gatling(Some(language)) => write!(f, "Gatling, 16 hooks in {language}"),
            Self::Shell(None) => write!(f, "sh, started"),
            Self::Shell(Some(interpreter)) => write!(f, "sh, 16 {interpreter} scripts"),
        }
    }
}

/// What was measured.
pub(super) struct Calls {
    /// Everybody but the slowest.
    race: Race<Contender>,
    /// Gatling with hooks in Rust and the shell with `sh` scripts, on one CPU.
    one_cpu: Race<Contender>,
    /// The slowest have fewer rounds.
    slow: Race<Contender>,
    starts: Race<Interpreter>,
}

impl Calls {
    /// Measures it.
    pub(super) fn measure(bench: &Bench<'_>, rounds: &Rounds) -> Result<Self> {
        let folder = |interpreter: Interpreter| bench.folder.join("hooks").join(interpreter.name());
        for interpreter in Interpreter::ALL {
            interpreter.write_hooks(&folder(interpreter))?;
        }
        let time = |contender: &Contender| match *contender {
            Contender::Gatling(None) => bench.start(),
            Contender::Gatling(Some(language)) => {
                let trial = bench.cached(&component(language)?, HOOKS.len() as u32, None)?;
                Ok(Duration::from_secs_f64(trial.whole / 1000.0))
            }
            Contender::Shell(hooks) => shell(hooks.map(folder).as_deref()),
        };
        let bare = [Contender::Gatling(None), Contender::Shell(None)];
        let gatling = LANGUAGES.map(|language| Contender::Gatling(Some(language)));
        let shell = [Interpreter::Sh, Interpreter::Python].map(|interpreter| Contender::Shell(Some(interpreter)));
        let few = [bare[0], gatling[0], bare[1], shell[0]];
        let slow = [bare[1], Contender::Shell(Some(Interpreter::Elixir))];
        Ok(Self {
            race: Race::run(bare.into_iter().chain(gatling).chain(shell), WARM_UPS, rounds.calls, time)?,
            one_cpu: on_one_cpu(|| Race::run(few, WARM_UPS, rounds.calls, time))?,
            slow: Race::run(slow, 0, rounds.elixir, time)?,
            starts: scripts::starts(rounds.starts, folder)?,
        })
    }

    /// What 16 cached hooks in `language` add to a process of Gatling, in milliseconds.
    pub(super) fn added(&self, language: Language) -> f64 {
        let contender = Contender::Gatling(Some(language));
        self.race.added(&contender, &contender.bare()).median
    }

    /// What 16 cached hooks in Rust add on one CPU.
    pub(super) fn added_on_one_cpu(&self) -> f64 {
        let contender = Contender::Gatling(Some(RUST));
        self.one_cpu.added(&contender, &contender.bare()).median
    }

    /// What 16 scripts for `sh` add to a shell.
    pub(super) fn sh_added(&self) -> f64 {
        let contender = Contender::Shell(Some(Interpreter::Sh));
        self.race.added(&contender, &contender.bare()).median
    }

    /// How long one start of `python3` takes.
    pub(super) fn python_start(&self) -> f64 {
        self.starts.median(&Interpreter::Python)
    }

    /// How long Gatling takes for 16 hooks in Rust, as a part of what the shell takes for 16 `sh` scripts.
    pub(super) fn ratio(&self) -> f64 {
        let sides = (Contender::Gatling(Some(RUST)), Contender::Shell(Some(Interpreter::Sh)));
        self.race.ratio(&sides.0, &sides.1).median
    }

    /// Prints the tables.
    pub(super) fn print(&self) {
        println!("16 calls of an empty hook, cached, and 16 scripts, as a process ({} rounds)\n", self.race.rounds());
        println!("{}", self.race.table(Contender::base));
        println!("The same on one CPU, where nothing waits for another one ({} rounds)\n", self.one_cpu.rounds());
        println!("{}", self.one_cpu.table(Contender::base));
        println!("16 Elixir scripts ({} rounds)\n", self.slow.rounds());
        println!("{}", self.slow.table(Contender::base));
        println!("One start of a script that does nothing ({} rounds)\n", self.starts.rounds());
        println!("{}", self.starts.table(|_| None));
        let share = |added: f64| 100.0 * added / self.sh_added();
        for language in LANGUAGES {
            let share = share(self.added(language));
            println!("{:57}{share:.1} %", format!("16 hooks in {language}, of what 16 sh scripts add"));
        }
        println!(
            "{:57}{:.2}",
            "a hook in Python / a start of python3",
            self.added(PYTHON) / 16.0 / self.python_start()
        );
        println!();
    }
}

/// Times a shell that starts all hooks in a folder.
fn shell(hooks: Option<&Path>) -> Result<Duration> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"set -e; while [ $# != 0 ]; do "$1"; shift; done"#, "sh"]);
    if let Some(hooks) = hooks {
        command.args(HOOKS.map(|hook| PathBuf::from(hooks).join(hook)));
    }
    Ok(app::time(&mut command)?.0)
}
