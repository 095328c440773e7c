//! Migrating the database.

use std::fmt;
use std::path::PathBuf;

use gatling_process::Command;
use serde::Serialize;

/// Migrates the database from a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// The command that migrates.
    #[serde(flatten)]
    pub command: Command,
    /// The command to use instead if the built release contains it.
    #[serde(skip)]
    pub script: Option<Command>,
    /// The new release.
    #[serde(skip)]
    pub release: PathBuf,
    /// The current release, if there is one.
    #[serde(skip)]
    pub serving: Option<PathBuf>,
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$ {}", self.command)
    }
}
