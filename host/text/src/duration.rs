//! Readable durations.

use std::time::Duration;

/// A duration as readable text: `3 ms`, `0.7 s`, `2 min 5 s`, `3 h 20 min`, `2 days`.
#[must_use]
pub fn duration(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..100 => format!("{millis} ms"),
        millis @ 100..60_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        millis @ 60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
        millis @ 3_600_000..172_800_000 => {
            format!("{} h {} min", millis / 3_600_000, millis % 3_600_000 / 60_000)
        }
        millis => format!("{} days", millis / 86_400_000),
    }
}

/// As [`duration`], for a number of seconds. A negative or invalid number counts as 0.
#[must_use]
pub fn duration_secs(seconds: f64) -> String {
    duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_units_that_suit_them() {
        for (millis, text) in [
            (0, "0 ms"),
            (99, "99 ms"),
            (100, "0.1 s"),
            (1990, "1.9 s"),
            (125_000, "2 min 5 s"),
            (3_600_000, "1 h 0 min"),
            (200_000_000, "2 days"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(duration_secs(-1.0), "0 ms");
    }
}
