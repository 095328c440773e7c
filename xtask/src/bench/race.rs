//! Contenders that take turns, so that whatever else the machine does falls on all of them.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::numbers::{Spread, median, milliseconds};
use super::table::Table;

/// The times of all contenders, in milliseconds: one of each in every round.
pub(super) struct Race<C> {
    lanes: Vec<(C, Vec<f64>)>,
}

impl<C: Clone + PartialEq + fmt::Display> Race<C> {
    /// Times each of `contenders` in each round. The first `warm_ups` rounds are not counted: they
    /// compile hooks and fill caches. Each round begins with another contender.
    pub(super) fn run(
        contenders: impl IntoIterator<Item = C>,
        warm_ups: usize,
        rounds: usize,
        mut time: impl FnMut(&C) -> Result<Duration>,
    ) -> Result<Self> {
        let mut lanes: Vec<_> = contenders.into_iter().map(|contender| (contender, Vec::new())).collect();
        let number = lanes.len();
        for round in 0..warm_ups + rounds {
            for turn in 0..number {
                let (contender, times) = &mut lanes[(round + turn) % number];
                let time = time(contender)?;
                if round >= warm_ups {
                    times.push(milliseconds(time));
                }
            }
        }
        Ok(Self { lanes })
    }

    /// How many rounds were counted.
    pub(super) fn rounds(&self) -> usize {
        self.lanes.first().map_or(0, |(_, times)| times.len())
    }

    /// The median of a contender's times.
    pub(super) fn median(&self, contender: &C) -> f64 {
        median(self.times(contender).iter().copied())
    }

    /// How much longer `contender` took than `base` did in the same round.
    pub(super) fn added(&self, contender: &C, base: &C) -> Spread {
        self.paired(contender, base, |time, base| time - base)
    }

    /// How many times as long `contender` took as `base` did in the same round.
    pub(super) fn ratio(&self, contender: &C, base: &C) -> Spread {
        self.paired(contender, base, |time, base| time / base)
    }

    fn paired(&self, one: &C, other: &C, compared: impl Fn(f64, f64) -> f64) -> Spread {
        let pairs = self.times(one).iter().zip(self.times(other));
        Spread::of(pairs.map(|(one, other)| compared(*one, *other)))
    }

    fn times(&self, contender: &C) -> &[f64] {
        self.lanes.iter().find(|(other, _)| other == contender).map_or(&[], |(_, times)| times)
    }

    /// The times as a table: the median, the half around it, and the ends. `base` tells what each
    /// contender is compared with.
    pub(super) fn table(&self, base: impl Fn(&C) -> Option<C>) -> Table {
        let mut table = Table::new(["ms", "median", "half of them", "fastest", "slowest", "adds"]);
        for (contender, times) in &self.lanes {
            let spread = Spread::of(times.iter().copied());
            let fastest = times.iter().copied().fold(f64::NAN, f64::min);
            let slowest = times.iter().copied().fold(f64::NAN, f64::max);
            let added = base(contender).map(|base| format!("{:.1}", self.added(contender, &base)));
            table.add([
                contender.to_string(),
                format!("{:.1}", spread.median),
                format!("{:.1} to {:.1}", spread.lower, spread.upper),
                format!("{fastest:.1}"),
                format!("{slowest:.1}"),
                added.unwrap_or_default(),
            ]);
        }
        table
    }
}

/// Does `work` with everything that it starts on one CPU: what waits until another CPU is awake, or
/// has done something else, is the machine's doing.
pub(super) fn on_one_cpu<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let all = sched_getaffinity(None).context("asking for this thread's CPUs")?;
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).context("this thread has no CPU")?);
    sched_setaffinity(None, &one).context("keeping to one CPU")?;
    let done = work();
    sched_setaffinity(None, &all).context("going back to all CPUs")?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A race whose times are the given ones, one contender's after the other's.
    fn race(times: &[(&'static str, [u64; 3])]) -> Race<&'static str> {
        let mut taken = vec![0; times.len()];
        let contenders = times.iter().map(|(name, _)| *name);
        let race = Race::run(contenders, 0, 3, |contender| {
            let lane = times.iter().position(|(name, _)| name == contender).expect("it takes part");
            taken[lane] += 1;
            Ok(Duration::from_millis(times[lane].1[taken[lane] - 1]))
        });
        race.expect("nobody fails")
    }

    #[test]
    fn contenders_are_compared_with_others_of_the_same_round() {
        // The machine was busy in the second round.
        let race = race(&[("bash", [10, 110, 10]), ("gatling", [12, 112, 12])]);
        assert!((race.added(&"gatling", &"bash").median - 2.0).abs() < 1e-9);
        assert!((race.ratio(&"gatling", &"bash").median - 1.2).abs() < 1e-9);
        assert_eq!(race.rounds(), 3);
    }

    #[test]
    fn one_slow_round_does_not_move_what_they_come_to() {
        let race = race(&[("bash", [10, 10, 10]), ("gatling", [900, 5, 5])]);
        assert!((race.ratio(&"gatling", &"bash").median - 0.5).abs() < 1e-9);
        assert!((race.median(&"gatling") - 5.0).abs() < 1e-9);
    }

    #[test]
    fn warm_ups_are_not_counted_and_every_contender_begins_a_round() {
        let mut turns = Vec::new();
        let race = Race::run(["a", "b"], 1, 1, |contender| {
            turns.push(*contender);
            Ok(Duration::from_millis(turns.len() as u64))
        });
        let race = race.expect("nobody fails");
        assert_eq!(turns, ["a", "b", "b", "a"]);
        assert!((race.median(&"b") - 3.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_kept_to_one_cpu_is_let_go_again() {
        let before = sched_getaffinity(None).expect("this is Linux").count();
        let during = on_one_cpu(|| Ok(sched_getaffinity(None)?.count())).expect("it has a CPU");
        assert_eq!((during, sched_getaffinity(None).expect("this is Linux").count()), (1, before));
    }
}
