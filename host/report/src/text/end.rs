//! The end of a run: how it ended, what serves now, and what to do.

use std::io::{self, Write};

use gatling_runs::{Event, Outcome, Serving};
use gatling_text::{duration_secs, escape, escape_line};

use super::{Renderer, bold, dim, red};

/// How many of the slowest steps and hooks are named at the end.
const SLOWEST_NAMED: usize = 3;
/// Steps and hooks that took less than this, in seconds, are not named.
const MIN_NAMED_SECONDS: f64 = 0.1;

impl<W: Write> Renderer<W> {
    pub(super) fn ended(&mut self, event: &Event) -> io::Result<()> {
        let Event::Ended { outcome, seconds, error, serving, again, places, .. } = event else { return Ok(()) };
        // An interrupted step has no end event.
        self.write_title()?;
        self.title = None;
        let project = self.project.clone();
        match outcome {
            // A note before this has said why.
            Outcome::Unchanged | Outcome::Superseded => Ok(()),
            Outcome::Succeeded => {
                let what = match (self.pipeline.as_deref(), places.as_slice()) {
                    (Some("unload"), _) => format!("{project} is unloaded"),
                    (_, []) => format!("{project} {} is serving", self.release),
                    (_, places) => {
                        format!("{project} {} is serving at {}", self.release, escape_line(&places.join(", ")))
                    }
                };
                self.write_styled("", bold(), &format!("gatling: {what}"))?;
                if self.pipeline.as_deref() == Some("unload") {
                    self.write("  ", "Its database was kept.")?;
                }
                let totals = self.totals(*seconds);
                self.write_styled("  ", dim(), &totals)
            }
            Outcome::Failed | Outcome::Cancelled => {
                let what = self.pipeline.as_deref().map_or_else(|| "the run".to_owned(), escape_line);
                let how = if *outcome == Outcome::Failed { "failed" } else { "was cancelled" };
                let why = match error.split_first() {
                    Some((first, _)) => format!(": {}", escape(first)),
                    None => String::new(),
                };
                self.write_styled("", red(), &format!("gatling: {what} of {project} {how}{why}"))?;
                for cause in error.iter().skip(1) {
                    self.write("  ", &format!("because {}", escape(cause)))?;
                }
                if let Some(serving) = serving {
                    self.write("  ", &describe_serving(&project, serving))?;
                }
                match again {
                    Some(again) if *outcome == Outcome::Cancelled => {
                        self.write("  ", &format!("To run it again: `{}`", escape_line(again)))?;
                    }
                    Some(again) => self.advice(again)?,
                    // It has gone back already.
                    None if self.pipeline.as_deref() == Some("rollback") => {}
                    // The branch does not have the commit.
                    None => self.write("  ", "Fix it and push again.")?,
                }
                let run = self.run.clone();
                self.write("  ", &format!("Full log: `gatling log {project} {run}`"))
            }
        }
    }

    fn advice(&mut self, again: &str) -> io::Result<()> {
        let again = escape_line(again);
        // Nothing that could be pushed would fix these.
        if matches!(self.pipeline.as_deref(), Some("unload" | "restart" | "rollback")) {
            return self.write("  ", &format!("Fix it, then continue with: `{again}`"));
        }
        self.write("  ", "Fix it and push again.")?;
        self.write("  ", &format!("To try the same commit again, run on the server: `{again}`"))
    }

    /// How many steps and hooks ran, how long they took, and which were the slowest.
    fn totals(&self, total: f64) -> String {
        let total = duration_secs(total);
        if self.times.is_empty() {
            return total;
        }
        let hooks = self.times.iter().filter(|time| time.is_hook).count();
        let counted = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let steps = counted(self.times.len() - hooks, "step");
        let mut longest: Vec<_> = self.times.iter().filter(|time| time.seconds >= MIN_NAMED_SECONDS).collect();
        longest.sort_by(|one, two| two.seconds.total_cmp(&one.seconds));
        longest.truncate(SLOWEST_NAMED);
        let parts: Vec<_> =
            longest.iter().map(|time| format!("{} {}", time.name, duration_secs(time.seconds))).collect();
        let most = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        format!("{steps}, {}, {total}{most}", counted(hooks, "hook"))
    }
}

/// Describes what serves, for users.
#[must_use]
pub fn describe_serving(project: &str, serving: &Serving) -> String {
    match serving {
        Serving::Serving { release } => format!("{project} {} is serving.", escape_line(release)),
        Serving::Unserved { release, why } => {
            format!("{project} {} runs, but visitors are NOT served: {}", escape_line(release), escape(why))
        }
        Serving::Unknown { release, why } => format!(
            "{project} {} runs, but Gatling cannot determine whether visitors are served: {}",
            escape_line(release),
            escape(why)
        ),
        Serving::Down { release, start } => format!(
            "{project} is NOT serving: its release {} does not answer. Start it with: `{}`",
            escape_line(release),
            escape_line(start)
        ),
        Serving::NotDeployed => format!("{project} is not deployed: no release is running."),
    }
}
