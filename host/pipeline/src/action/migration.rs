//! Migrating the database.

use std::fmt;
use std::path::PathBuf;

use gatling_process::Command;
use serde::Serialize;

/// Migrates the database from a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// What does it.
    #[serde(flatten)]
    pub command: Command,
    /// What does it instead, if the release turns out to have it.
    #[serde(skip)]
    pub script: Option<Command>,
    /// The new release.
    #[serde(skip)]
    pub release: PathBuf,
    /// The release that serves, if there is one.
    #[serde(skip)]
    pub serving: Option<PathBuf>,
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$ {}", self.command)
    }
}
