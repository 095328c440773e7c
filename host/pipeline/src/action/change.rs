//! Changes that outlive a run.

use std::fmt;

use gatling_process::Command;
use gatling_runs::Change;
use serde::Serialize;

use super::Action;

/// A change that outlives the run. The engine records it in the journal before it makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordedChange {
    /// What is changed.
    pub change: Change,
    /// What it is changed to.
    pub to: String,
    /// The first action makes the change; all others must succeed, or the change is undone. A first action that
    /// fails has changed nothing, or has itself restored the previous state.
    pub actions: Vec<Action>,
    /// The commands that undo the change; empty if it cannot be undone.
    pub undo: Vec<Command>,
}

impl RecordedChange {
    pub(super) fn commands(&self) -> Vec<&Command> {
        self.actions.iter().flat_map(Action::commands).collect()
    }
}

impl fmt::Display for RecordedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<_> = self.actions.iter().map(ToString::to_string).collect();
        f.write_str(&actions.join("\n"))
    }
}
