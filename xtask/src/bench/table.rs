//! The times of all contenders, and what they come to.

use std::fmt;
use std::time::Duration;

use super::Contender;

/// The times that each contender took.
pub(super) struct Table {
    times: [(Contender, Vec<Duration>); 4],
}

impl Table {
    /// A table with these times.
    pub(super) fn new(times: [(Contender, Vec<Duration>); 4]) -> Self {
        Self { times }
    }

    /// Adds a time of one contender.
    pub(super) fn add(&mut self, contender: Contender, time: Duration) {
        for (name, times) in &mut self.times {
            if *name == contender {
                times.push(time);
            }
        }
    }

    /// How long Gatling takes with hooks, as a part of what the script takes with hooks.
    pub(super) fn ratio(&self) -> f64 {
        self.median(Contender::Gatling { hooks: true }) / self.median(Contender::Script { hooks: true })
    }

    /// In milliseconds.
    fn median(&self, contender: Contender) -> f64 {
        let times = self.times.iter().find(|(name, _)| *name == contender).map(|(_, times)| times);
        let mut times = times.cloned().unwrap_or_default();
        times.sort();
        times.get(times.len() / 2).map_or(f64::NAN, milliseconds)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:22}{:>9}{:>12}{:>12}", "", "median", "fastest", "slowest")?;
        for (contender, times) in &self.times {
            let ends = [times.iter().min(), times.iter().max()].map(|end| end.map_or(f64::NAN, milliseconds));
            let median = self.median(*contender);
            writeln!(f, "{contender:22}{median:6.1} ms{:9.1} ms{:9.1} ms", ends[0], ends[1])?;
        }
        let gatling = |hooks| self.median(Contender::Gatling { hooks });
        let script = |hooks| self.median(Contender::Script { hooks });
        writeln!(f)?;
        writeln!(f, "16 hooks cost Gatling {:6.1} ms", gatling(true) - gatling(false))?;
        writeln!(f, "16 hooks cost bash    {:6.1} ms", script(true) - script(false))?;
        writeln!(f, "Gatling / bash        {:6.2}    without hooks", gatling(false) / script(false))?;
        write!(f, "Gatling / bash        {:6.2}    with 16 hooks", self.ratio())
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gatling { hooks: false } => "Gatling, no hooks",
            Self::Gatling { hooks: true } => "Gatling, 16 hooks",
            Self::Script { hooks: false } => "bash, no hooks",
            Self::Script { hooks: true } => "bash, 16 sh hooks",
        })
    }
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_compares_medians_and_is_not_moved_by_one_slow_round() {
        let times = |times: [u64; 3]| times.map(Duration::from_millis).to_vec();
        let table = Table::new([
            (Contender::Gatling { hooks: false }, times([1, 1, 1])),
            (Contender::Gatling { hooks: true }, times([900, 10, 10])),
            (Contender::Script { hooks: false }, times([1, 1, 1])),
            (Contender::Script { hooks: true }, times([20, 20, 1])),
        ]);
        assert!((table.ratio() - 0.5).abs() < 1e-9, "{}", table.ratio());
    }
}
