//! Checking systemd's units.

use std::path::PathBuf;

use serde::Serialize;

/// A unit that is to be checked before it is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnitCheck {
    /// The file.
    pub path: PathBuf,
    /// Whether it is the project's own: then a warning is an error.
    pub is_the_projects: bool,
}
