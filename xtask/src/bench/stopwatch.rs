//! Programs that note when they start and end: each stands in front of a real one that Gatling runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::scripts::write_program;
use crate::shell::quoted;

/// What counts as mix's, in one sentence.
pub(super) const MIX_IS: &str =
    "each `mix` or `elixir` that Gatling runs; `mix.session` is off, so they can be told apart";

/// Where the programs and their notes are.
pub(super) struct Stopwatch {
    /// The folder of the programs, to be the first on the `PATH`.
    pub(super) programs: PathBuf,
    notes: PathBuf,
}

/// How long the programs of one upgrade took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Times {
    /// See [`MIX_IS`].
    pub(super) mix: Duration,
    pub(super) migration: Duration,
    pub(super) service: Duration,
}

impl Stopwatch {
    /// Writes a `mix` and an `elixir` that are timed, in `folder`.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let stopwatch = Self { programs: folder.join("timed"), notes: folder.join("times") };
        fs::create_dir_all(&stopwatch.programs)?;
        // The rest of the PATH has the real ones. What mix runs itself is part of mix's time.
        let rest = format!("PATH=${{PATH#{}:}}", quoted(&stopwatch.programs.to_string_lossy()));
        for name in ["mix", "elixir"] {
            let run = stopwatch.timed(name, &format!("{rest}\n{name} \"$@\""));
            write_program(&stopwatch.programs.join(name), &run)?;
        }
        Ok(stopwatch)
    }

    /// A script that times `command` under `name`.
    pub(super) fn timed(&self, name: &str, command: &str) -> String {
        // Bash knows the time of day in microseconds, without a program that would take some itself.
        let notes = quoted(&self.notes.to_string_lossy());
        format!(
            "#!/bin/bash\nbegun=$EPOCHREALTIME\n{command}\nstatus=$?\n\
             echo \"{name} $begun $EPOCHREALTIME\" >>{notes}\nexit $status\n"
        )
    }

    /// Forgets what was noted so far.
    pub(super) fn reset(&self) -> Result<()> {
        fs::write(&self.notes, "").context("preparing to note times")
    }

    /// What was noted since the last [`Self::reset`].
    pub(super) fn times(&self) -> Result<Times> {
        let notes = fs::read_to_string(&self.notes).context("reading the times that were noted")?;
        times(&notes).with_context(|| format!("these times were noted:\n{notes}"))
    }
}

/// One program that ran: its times are since the epoch.
struct Run<'a> {
    name: &'a str,
    begun: Duration,
    ended: Duration,
}

impl<'a> Run<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, times) = line.split_once(' ')?;
        let mut times = times.split_whitespace().map(since_epoch);
        Some(Self { name, begun: times.next()??, ended: times.next()?? })
    }

    fn whole(&self) -> Duration {
        self.ended.saturating_sub(self.begun)
    }
}

/// A time as bash tells it: between its seconds and their parts stands what is usual in the language
/// of whoever runs it.
fn since_epoch(text: &str) -> Option<Duration> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    Some(Duration::from_micros(digits.parse().ok()?))
}

/// Sums up what was noted of one upgrade.
fn times(notes: &str) -> Result<Times> {
    let runs: Vec<_> =
        notes.lines().map(|line| Run::parse(line).context("a line is not whole")).collect::<Result<_>>()?;
    let sum = |name: &'static str| {
        let mut times = runs.iter().filter(move |run| run.name == name).map(Run::whole).peekable();
        ensure!(times.peek().is_some(), "{name} should have been run");
        Ok(times.sum::<Duration>())
    };
    Ok(Times { mix: sum("elixir")? + sum("mix")?, migration: sum("migration")?, service: sum("service")? })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_times_of_all_programs_of_a_kind_are_added_up() {
        let notes = "elixir 10.000000 11.500000\nmix 20.000000 23.000000\nmigration 30,000000 30,250000\n\
                     service 31.000000 32.000001\nservice 33.000000 33.000010\n";
        let expected = Times {
            mix: Duration::from_millis(1500 + 3000),
            migration: Duration::from_millis(250),
            service: Duration::from_micros(1_000_001) + Duration::from_micros(10),
        };
        assert_eq!(times(notes).expect("they are whole"), expected);
    }

    #[test]
    fn an_upgrade_that_did_not_run_what_it_should_is_not_timed() {
        let whole = ["elixir 10.0 19.0", "mix 20.0 23.0", "migration 30.0 31.0", "service 31.0 32.0"];
        assert!(times(&whole.join("\n")).is_ok());
        for left_out in 0..whole.len() {
            let mut notes = whole.to_vec();
            notes.remove(left_out);
            assert!(times(&notes.join("\n")).is_err(), "without {}", whole[left_out]);
        }
    }

    #[test]
    fn a_timed_program_notes_its_time_and_ends_as_it_would_without() {
        let folder = tempfile::tempdir().expect("a folder");
        let stopwatch = Stopwatch::new(folder.path()).expect("they can be written");
        let program = folder.path().join("program");
        write_program(&program, &stopwatch.timed("service", "(exit 3)")).expect("it can be written");
        let status = Command::new(program).status().expect("bash runs it");
        let notes = fs::read_to_string(&stopwatch.notes).expect("it was noted");
        assert_eq!(status.code(), Some(3));
        let run = Run::parse(notes.trim_end()).expect("the line is whole");
        assert!(run.name == "service" && run.begun <= run.ended, "{notes}");
    }
}
