//! What an empty hook costs in each language.

use std::fs;

use anyhow::Result;

use super::numbers::median;
use super::projects::{LANGUAGES, Language, component};
use super::table::Table;
use super::trial::{Bench, Trial};

/// How often a hook is called where its calls are timed.
const CALLS: u32 = 50;

/// Runs that come before those that are timed with compiled hooks: the first one compiles them,
/// the second one notes down what is in the file.
const WARM_UPS: usize = 2;

/// All that was measured, of all languages.
pub(super) struct Languages {
    lanes: Vec<Lane>,
    cold_rounds: usize,
    rounds: usize,
}

/// What was measured in one language.
struct Lane {
    language: Language,
    megabytes: f64,
    cold: Vec<Trial>,
    cached: Vec<Trial>,
    checks: Vec<f64>,
}

impl Lane {
    fn cold(&self, number: impl Fn(&Trial) -> f64) -> f64 {
        median(self.cold.iter().map(number))
    }

    fn cached(&self, number: impl Fn(&Trial) -> f64) -> f64 {
        median(self.cached.iter().map(number))
    }
}

impl Languages {
    /// Measures all languages in turns.
    pub(super) fn measure(bench: &Bench<'_>, cold_rounds: usize, rounds: usize) -> Result<Self> {
        let mut lanes = Vec::new();
        for language in LANGUAGES {
            let megabytes = fs::metadata(component(language)?)?.len() as f64 / 1e6;
            lanes.push(Lane { language, megabytes, cold: Vec::new(), cached: Vec::new(), checks: Vec::new() });
        }
        for _ in 0..cold_rounds {
            for lane in &mut lanes {
                lane.cold.push(bench.cold(&component(lane.language)?, 1)?);
            }
        }
        for round in 0..WARM_UPS + rounds {
            for lane in &mut lanes {
                let component = component(lane.language)?;
                let trial = bench.cached(&component, CALLS, None)?;
                let check = bench.check(&component)?;
                if round >= WARM_UPS {
                    lane.cached.push(trial);
                    lane.checks.push(check);
                }
            }
        }
        Ok(Self { lanes, cold_rounds, rounds })
    }

    /// How long it takes until a hook in `language` can be called, where it was compiled before.
    pub(super) fn ready(&self, language: Language) -> f64 {
        self.of(language).map_or(f64::NAN, |lane| lane.cached(|trial| trial.ready))
    }

    /// How long `gatling hooks check` takes.
    pub(super) fn check(&self, language: Language) -> f64 {
        self.of(language).map_or(f64::NAN, |lane| median(lane.checks.iter().copied()))
    }

    fn of(&self, language: Language) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.language == language)
    }

    /// Prints the table.
    pub(super) fn print(&self) {
        println!("16 empty hooks in each language: times in ms, sizes in MB");
        println!(
            "(medians of {} rounds cold, in an empty home, and of {} cached, of {CALLS} calls each)\n",
            self.cold_rounds, self.rounds
        );
        let mut table = Table::new([
            "",
            "size",
            "compile",
            "ready",
            "instance",
            "call",
            "process",
            "check",
            "memory cold",
            "cached",
        ]);
        for lane in &self.lanes {
            table.add([
                lane.language.to_string(),
                format!("{:.2}", lane.megabytes),
                format!("{:.0}", lane.cold(|trial| trial.compiled.unwrap_or(f64::NAN))),
                format!("{:.2}", lane.cached(|trial| trial.ready)),
                format!("{:.3}", lane.cached(|trial| trial.instance)),
                format!("{:.3}", lane.cached(|trial| trial.call)),
                format!("{:.1}", lane.cached(|trial| trial.whole)),
                format!("{:.1}", median(lane.checks.iter().copied())),
                format!("{:.0}", lane.cold(|trial| trial.memory)),
                format!("{:.0}", lane.cached(|trial| trial.memory)),
            ]);
        }
        println!("{table}");
    }
}
