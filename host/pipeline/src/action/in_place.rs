//! Upgrades of a running release in place.

use std::fmt;

use gatling_process::Command;
use serde::Serialize;

use super::{Action, RecordedChange};

/// Has the running release load the code of another one, in the same process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InPlace {
    /// The change. A command in it exits with [`InPlace::IMPOSSIBLE`] if the release cannot be upgraded in place.
    pub change: RecordedChange,
    /// What is done after it.
    pub then: Vec<Action>,
    /// What is done instead if it is impossible.
    pub otherwise: Vec<Action>,
    /// The name of the strategy for that.
    pub strategy: &'static str,
}

impl InPlace {
    /// The exit status of a command that cannot upgrade a release in place, and has changed nothing. Its last line of output
    /// says why.
    pub const IMPOSSIBLE: i32 = 3;

    pub(super) fn commands(&self) -> Vec<&Command> {
        self.change.commands().into_iter().chain(self.otherwise.iter().flat_map(Action::commands)).collect()
    }
}

impl fmt::Display for InPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.change)?;
        for action in &self.then {
            write!(f, "\n{action}")?;
        }
        write!(f, "\nif the running release cannot be upgraded in place, {}:", self.strategy)?;
        for action in &self.otherwise {
            for line in action.to_string().lines() {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}
