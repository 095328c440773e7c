//! Changes that outlive a run.

use std::fmt;

use gatling_process::Command;
use gatling_runs::Change;
use serde::Serialize;

use super::Action;

/// A change of something that others see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changing {
    /// What is changed.
    pub change: Change,
    /// What it is changed to.
    pub to: String,
    /// What makes the change, and then whatever has to go well for it to stay. If the first of them fails, it
    /// has changed nothing, or has put back itself what was there.
    pub actions: Vec<Action>,
    /// What undoes the change if another of them fails; nothing where that is not possible.
    pub undo: Vec<Action>,
}

impl Changing {
    pub(super) fn commands(&self) -> Vec<&Command> {
        self.actions.iter().flat_map(Action::commands).collect()
    }
}

impl fmt::Display for Changing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<_> = self.actions.iter().map(ToString::to_string).collect();
        f.write_str(&actions.join("\n"))
    }
}
