//! Where the log of an app is.

use std::fmt;
use std::path::PathBuf;

use gatling_config::paths::ProjectPaths;
use gatling_config::slot::Slot;

use crate::facts::server::has_systemd;

/// The log of an app in one slot. Displayed, it says how a user can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppLog {
    /// A file.
    File(PathBuf),
    /// systemd's journal, as the log of this unit.
    Journal(String),
}

impl AppLog {
    /// The log of the app in the slot.
    #[must_use]
    pub fn of(paths: &ProjectPaths, slot: Slot) -> Self {
        match paths.unit_files() {
            Some([_, slots]) if has_systemd() && slots.exists() => Self::Journal(paths.slot_unit(slot)),
            _ => Self::File(paths.app_log(slot)),
        }
    }
}

impl fmt::Display for AppLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Journal(unit) => write!(f, "journalctl -u {unit}"),
        }
    }
}
