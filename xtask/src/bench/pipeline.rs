//! An upgrade by Gatling against a script that runs the same programs, which are stand-ins that do
//! nothing: what is left is what the pipeline and the hooks themselves cost.

use std::fmt;

use anyhow::Result;
use gatling_tests::Sandbox;

use super::Rounds;
use super::projects::{LANGUAGES, Language, RUST};
use super::race::{Race, on_one_cpu};
use super::scripts::{self, Interpreter};
use super::stage::Stage;

/// Rounds that are not counted: the first one compiles the hooks, the second one notes down what
/// is in their file.
const WARM_UPS: usize = 3;

/// Who is timed, and with which hooks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Contender {
    Gatling(Option<Language>),
    Script(Option<Interpreter>),
}

impl Contender {
    /// The same side without hooks.
    fn bare(self) -> Self {
        match self {
            Self::Gatling(_) => Self::Gatling(None),
            Self::Script(_) => Self::Script(None),
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
            Self::Gatling(None) => write!(f, "Gatling, no hooks"),
            Self::Gatling(Some(language)) => write!(f, "Gatling, 16 hooks in {language}"),
            Self::Script(None) => write!(f, "bash, no hooks"),
            Self::Script(Some(interpreter)) => write!(f, "bash, 16 {interpreter} hooks"),
        }
    }
}

/// What was measured.
pub(super) struct Pipeline {
    /// Everybody but the slowest.
    race: Race<Contender>,
    /// Gatling with hooks in Rust and the script with `sh` hooks, on one CPU.
    one_cpu: Race<Contender>,
    /// The slowest have fewer rounds.
    slow: Race<Contender>,
    starts: Race<Interpreter>,
}

impl Pipeline {
    /// Measures it.
    pub(super) fn measure(sandbox: &Sandbox, rounds: &Rounds) -> Result<Self> {
        println!("Deploying the example app, to see which programs an upgrade runs");
        let stage = Stage::set(sandbox)?;
        let time = |contender: &Contender| match *contender {
            Contender::Gatling(hooks) => stage.time_gatling(hooks),
            Contender::Script(hooks) => stage.time_script(hooks),
        };
        let bare = [Contender::Gatling(None), Contender::Script(None)];
        let gatling = LANGUAGES.map(|language| Contender::Gatling(Some(language)));
        let script = [Interpreter::Sh, Interpreter::Python].map(|interpreter| Contender::Script(Some(interpreter)));
        let few = [bare[0], gatling[0], bare[1], script[0]];
        let slow = [Contender::Script(None), Contender::Script(Some(Interpreter::Elixir))];
        println!("Timing `gatling upgrade hello`, and a script that runs the same programs\n");
        Ok(Self {
            race: Race::run(bare.into_iter().chain(gatling).chain(script), WARM_UPS, rounds.pipeline, time)?,
            one_cpu: on_one_cpu(|| Race::run(few, WARM_UPS, rounds.pipeline, time))?,
            slow: Race::run(slow, 0, rounds.elixir, time)?,
            starts: scripts::starts(rounds.starts, |interpreter| stage.hooks(Some(interpreter)))?,
        })
    }

    /// What 16 cached hooks in `language` add to an upgrade, in milliseconds.
    pub(super) fn added(&self, language: Language) -> f64 {
        let contender = Contender::Gatling(Some(language));
        self.race.added(&contender, &contender.bare()).median
    }

    /// What 16 cached hooks in Rust add to an upgrade on one CPU.
    pub(super) fn added_on_one_cpu(&self) -> f64 {
        let contender = Contender::Gatling(Some(RUST));
        self.one_cpu.added(&contender, &contender.bare()).median
    }

    /// What 16 hooks that are scripts for `sh` add to the script.
    pub(super) fn sh_added(&self) -> f64 {
        let contender = Contender::Script(Some(Interpreter::Sh));
        self.race.added(&contender, &contender.bare()).median
    }

    /// How long one start of `python3` takes.
    pub(super) fn python_start(&self) -> f64 {
        self.starts.median(&Interpreter::Python)
    }

    /// How long Gatling takes with 16 hooks in Rust, as a part of what the script takes with 16
    /// `sh` hooks.
    pub(super) fn ratio(&self) -> f64 {
        let sides = (Contender::Gatling(Some(RUST)), Contender::Script(Some(Interpreter::Sh)));
        self.race.ratio(&sides.0, &sides.1).median
    }

    /// Prints the tables.
    pub(super) fn print(&self) {
        println!("An upgrade with stand-ins for all programs ({} rounds)\n", self.race.rounds());
        println!("{}", self.race.table(Contender::base));
        println!("The same on one CPU, where nothing waits for another one ({} rounds)\n", self.one_cpu.rounds());
        println!("{}", self.one_cpu.table(Contender::base));
        println!("With 16 Elixir scripts ({} rounds)\n", self.slow.rounds());
        println!("{}", self.slow.table(Contender::base));
        println!("One start of a script that does nothing ({} rounds)\n", self.starts.rounds());
        println!("{}", self.starts.table(|_| None));
        for (race, cpus) in [(&self.race, ""), (&self.one_cpu, ", on one CPU")] {
            let [bare, hooks] = [(None, None), (Some(RUST), Some(Interpreter::Sh))]
                .map(|(ours, theirs)| race.ratio(&Contender::Gatling(ours), &Contender::Script(theirs)));
            println!("{:57}{bare:.2}", format!("Gatling / bash, no hooks{cpus}"));
            println!("{:57}{hooks:.2}", format!("Gatling with Rust / bash with sh, 16 hooks{cpus}"));
        }
        let share = |added: f64| 100.0 * added / self.sh_added();
        for language in LANGUAGES {
            let share = share(self.added(language));
            println!("{:57}{share:.1} %", format!("16 hooks in {language}, of what 16 sh hooks add"));
        }
        println!();
    }
}
