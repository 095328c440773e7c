//! Programs that note when they start and end: each stands in front of a real one that Gatling runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::recording::write_program;
use crate::shell::quoted;

/// What counts as mix's, in one sentence.
pub(super) const MIX_IS: &str = "from the start of each `mix` or `elixir` that Gatling runs to its end, without the time \
     in which the first one, having described the project, waits for its turn";

/// Runs `elixir`, and notes when it has written the last line that describes the project. What it writes
/// is handed on line by line until then.
const ELIXIR: &str = r#"shopt -s lastpipe
elixir "$@" | {
  while IFS= read -r line; do
    printf '%s\n' "$line"
    if [[ $line == 'gatling-fact end '* ]]; then described=$EPOCHREALTIME; break; fi
  done
  cat
}
status=${PIPESTATUS[0]}"#;

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
        for (name, run) in [("mix", "mix \"$@\"; status=$?"), ("elixir", ELIXIR)] {
            let run = format!("{rest}\n{run}");
            write_program(&stopwatch.programs.join(name), &stopwatch.script(name, &run))?;
        }
        Ok(stopwatch)
    }

    /// A script that times `command` under `name`.
    pub(super) fn timed(&self, name: &str, command: &str) -> String {
        self.script(name, &format!("{command}; status=$?"))
    }

    /// Bash knows the time of day in microseconds, without a program that would take some itself.
    fn script(&self, name: &str, run: &str) -> String {
        let notes = quoted(&self.notes.to_string_lossy());
        format!(
            "#!/bin/bash\nbegun=$EPOCHREALTIME\n{run}\n\
             echo \"{name} $begun $EPOCHREALTIME $described\" >>{notes}\nexit $status\n"
        )
    }

    /// Forgets what was noted so far.
    pub(super) fn reset(&self) -> Result<()> {
        fs::write(&self.notes, "").context("preparing to note times")
    }

    /// What was noted since the last [`Self::reset`]. `first_step` is how long the step took that the
    /// first `elixir` carried out when its turn came.
    pub(super) fn times(&self, first_step: Duration) -> Result<Times> {
        let notes = fs::read_to_string(&self.notes).context("reading the times that were noted")?;
        times(&notes, first_step).with_context(|| format!("these times were noted:\n{notes}"))
    }
}

/// One program that ran: its times are since the epoch.
struct Run<'a> {
    name: &'a str,
    begun: Duration,
    ended: Duration,
    /// When it had described the project.
    described: Option<Duration>,
}

impl<'a> Run<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, times) = line.split_once(' ')?;
        let mut times = times.split_whitespace().map(since_epoch);
        Some(Self { name, begun: times.next()??, ended: times.next()??, described: times.next().flatten() })
    }

    fn whole(&self) -> Duration {
        self.ended.saturating_sub(self.begun)
    }

    /// Without the time in which it waited for its turn.
    fn at_work(&self, first_step: Duration) -> Option<Duration> {
        Some(self.whole().min(self.described?.saturating_sub(self.begun) + first_step))
    }
}

/// A time as bash tells it: between its seconds and their parts stands what is usual in the language
/// of whoever runs it.
fn since_epoch(text: &str) -> Option<Duration> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    Some(Duration::from_micros(digits.parse().ok()?))
}

/// Sums up what was noted of one upgrade.
fn times(notes: &str, first_step: Duration) -> Result<Times> {
    let runs: Vec<_> =
        notes.lines().map(|line| Run::parse(line).context("a line is not whole")).collect::<Result<_>>()?;
    let of = |name: &'static str| runs.iter().filter(move |run| run.name == name);
    let only = |name: &'static str| {
        ensure!(of(name).count() == 1, "{name} should have been run once");
        of(name).next().context("it was run")
    };
    ensure!(of("mix").count() > 0, "mix should have been run");
    let first = only("elixir")?.at_work(first_step).context("elixir did not describe the project")?;
    Ok(Times {
        mix: first + of("mix").map(Run::whole).sum::<Duration>(),
        migration: only("migration")?.whole(),
        service: only("service")?.whole(),
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const STEP: Duration = Duration::from_secs(2);

    #[test]
    fn while_it_waits_for_its_turn_mix_takes_no_time() {
        let notes = "elixir 10.000000 19.000000 11.500000\nmix 20.000000 23.000000 \n\
                     migration 30,000000 30,250000 \nservice 31.000000 32.000001 \n";
        let expected = Times {
            mix: Duration::from_millis(1500 + 2000 + 3000),
            migration: Duration::from_millis(250),
            service: Duration::from_micros(1_000_001),
        };
        assert_eq!(times(notes, STEP).expect("they are whole"), expected);
    }

    #[test]
    fn an_upgrade_that_ran_other_programs_than_it_should_is_not_timed() {
        let whole = ["elixir 10.0 19.0 11.0", "mix 20.0 23.0", "migration 30.0 31.0", "service 31.0 32.0"];
        assert!(times(&whole.join("\n"), STEP).is_ok());
        for left_out in 0..whole.len() {
            let mut notes = whole.to_vec();
            notes.remove(left_out);
            assert!(times(&notes.join("\n"), STEP).is_err(), "without {}", whole[left_out]);
        }
        let twice = [&whole[..], &whole[3..]].concat();
        let error = times(&twice.join("\n"), STEP).expect_err("the service was upgraded twice").to_string();
        assert!(error.contains("service should have been run once"), "{error}");
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
        assert!(run.name == "service" && run.begun <= run.ended && run.described.is_none(), "{notes}");
    }

    #[test]
    fn a_project_is_described_with_the_last_line_that_does_and_every_line_is_handed_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let stopwatch = Stopwatch::new(folder.path()).expect("they can be written");
        let lines =
            ["gatling-fact endpoint shop ShopWeb.Endpoint", "gatling-fact end ", "All dependencies are up to date"];
        let before_the_end = folder.path().join("before-the-end");
        let elixir = format!(
            "#!/bin/bash\necho '{}'\nsleep 0.1\necho $EPOCHREALTIME >{}\necho '{}'\necho '{}'\nexit 4\n",
            lines[0],
            quoted(&before_the_end.to_string_lossy()),
            lines[1],
            lines[2]
        );
        let real = folder.path().join("real");
        fs::create_dir(&real).expect("a folder");
        write_program(&real.join("elixir"), &elixir).expect("it can be written");

        let timed = stopwatch.programs.join("elixir");
        let path = format!("{}:{}:/usr/bin:/bin", stopwatch.programs.display(), real.display());
        let output = Command::new(timed).env("PATH", path).output().expect("bash runs it");

        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>(), lines);
        assert_eq!(output.status.code(), Some(4));
        let notes = fs::read_to_string(&stopwatch.notes).expect("it was noted");
        let described = Run::parse(notes.trim_end()).and_then(|run| run.described).expect("it was described");
        let before_the_end = fs::read_to_string(before_the_end).expect("it was noted");
        assert!(Some(described) >= since_epoch(&before_the_end), "{notes}");
    }
}
