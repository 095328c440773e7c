//! What many measurements come to.

use std::fmt;
use std::time::Duration;

/// The middle of some numbers, and the middles of their lower and their upper half: half of them
/// lie between these two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) lower: f64,
    pub(super) median: f64,
    pub(super) upper: f64,
}

impl Spread {
    /// Of `numbers`, in any order; nothing but NaN where there are none.
    pub(super) fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        Self { lower: at(&numbers, 0.25), median: at(&numbers, 0.5), upper: at(&numbers, 0.75) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = f.precision().unwrap_or(1);
        let Self { lower, median, upper } = self;
        write!(f, "{median:.places$} ({lower:.places$} to {upper:.places$})")
    }
}

/// The number that this part of `sorted` lies below, between two of them where it has to be.
fn at(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = part * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// The median of `numbers`.
pub(super) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(numbers).median
}

/// What one more call takes, where `few` calls took so long and `many` took so long.
pub(super) fn per_call(few: (u32, f64), many: (u32, f64)) -> f64 {
    (many.1 - few.1) / f64::from(many.0 - few.0)
}

/// A time in milliseconds.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn one_slow_round_moves_neither_the_median_nor_the_half_around_it() {
        let spread = Spread::of([1.0, 2.0, 3.0, 4.0, 900.0]);
        assert_eq!(spread, Spread { lower: 2.0, median: 3.0, upper: 4.0 });
        assert_eq!(format!("{spread:.0}"), "3 (2 to 4)");
    }

    #[test]
    fn what_a_process_takes_to_start_is_no_part_of_what_a_call_takes() {
        assert_eq!(per_call((16, 6.0), (1_616, 86.0)), 0.05);
    }
}
