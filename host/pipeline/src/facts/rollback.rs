//! What a rollback goes back to.

use std::path::PathBuf;

use gatling_config::settings::Strategy;
use gatling_process::Command;

use super::server::Place;

/// What a rollback goes back to.
#[derive(Clone, Debug)]
pub struct RollbackFacts {
    /// The older release.
    pub target: String,
    /// The release that serves then: the older one, or a copy of it.
    pub release: String,
    /// The release that serves now.
    pub current: String,
    /// Where the older release runs then.
    pub place: Place,
    /// Whether it starts beside the current one.
    pub is_beside: bool,
    /// If the running release is to go back in place: what is done if it cannot.
    pub otherwise: Option<Box<Self>>,
    /// The command that undoes the migrations that it does not know, if that was asked for.
    pub undo: Option<Command>,
    /// The project's hooks file for a rollback, if there is one.
    pub hooks_file: Option<PathBuf>,
}

impl RollbackFacts {
    /// How the older release is started.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        if self.is_beside { Strategy::BlueGreen } else { Strategy::Restart }
    }

    /// Whether the older release cannot run in that place as it is.
    #[must_use]
    pub fn needs_copy(&self) -> bool {
        self.release != self.target
    }
}
