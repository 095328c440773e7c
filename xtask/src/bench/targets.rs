//! What the measurements are held against.

use std::fmt;

use super::table::Table;

/// Something that is to be less than something.
pub(super) struct Target {
    what: &'static str,
    measured: f64,
    limit: f64,
    unit: &'static str,
    /// Whether the bench fails where it is missed.
    binds: bool,
}

impl Target {
    /// A target that is told whether it is met or not.
    pub(super) fn told(what: &'static str, measured: f64, limit: f64, unit: &'static str) -> Self {
        Self { what, measured, limit, unit, binds: false }
    }

    /// A target that the bench fails without.
    pub(super) fn binding(what: &'static str, measured: f64, limit: f64, unit: &'static str) -> Self {
        Self { binds: true, ..Self::told(what, measured, limit, unit) }
    }

    /// What could not be measured is not met.
    fn is_met(&self) -> bool {
        self.measured < self.limit
    }
}

/// All targets.
pub(super) struct Targets(pub(super) Vec<Target>);

impl Targets {
    /// Those that the bench fails over, in words.
    pub(super) fn failures(&self) -> Vec<String> {
        let missed = self.0.iter().filter(|target| target.binds && !target.is_met());
        missed.map(|target| format!("{}: {:.2} {}", target.what, target.measured, target.unit)).collect()
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["target", "measured", "below", "", ""]);
        for target in &self.0 {
            table.add([
                target.what.to_owned(),
                format!("{:.2}", target.measured),
                format!("{:.2}", target.limit),
                target.unit.to_owned(),
                if target.is_met() { "met" } else { "NOT MET" }.to_owned(),
            ]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_its_limit_or_was_not_measured_is_not_met() {
        for (measured, met) in [(4.99, true), (5.0, false), (5.01, false), (f64::NAN, false)] {
            assert_eq!(Target::told("added", measured, 5.0, "ms").is_met(), met, "{measured}");
        }
    }

    #[test]
    fn only_a_binding_target_that_is_missed_is_a_failure() {
        let targets = Targets(vec![
            Target::told("told", 2.0, 1.0, "ms"),
            Target::binding("kept", 0.5, 1.0, "times"),
            Target::binding("missed", 25.0, 24.0, "MB"),
        ]);
        assert_eq!(targets.failures(), ["missed: 25.00 MB"]);
        let text = targets.to_string();
        assert_eq!((text.matches("NOT MET").count(), text.matches(" met\n").count()), (2, 1), "{text}");
    }
}
