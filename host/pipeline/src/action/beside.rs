//! What proves a release that runs beside the one that serves.

use std::fmt;
use std::time::Duration;

use gatling_config::paths::ProjectPaths;
use gatling_process::Command;
use serde::Serialize;

/// Visits to a release through nginx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotProof {
    /// The project.
    #[serde(skip)]
    pub paths: ProjectPaths,
    /// The release.
    pub release: String,
    /// Its port.
    pub port: u16,
    /// Whether it already serves visitors. Otherwise nginx is asked for its slot.
    pub is_live: bool,
}

impl fmt::Display for SlotProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_live {
            true => write!(f, "check that nginx passes visitors to {}, at port {}", self.release, self.port),
            false => write!(f, "visit {} at port {} through nginx, before visitors do", self.release, self.port),
        }
    }
}

/// How a release that has begun to serve is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Soak {
    /// The project.
    #[serde(skip)]
    pub paths: ProjectPaths,
    /// The release.
    pub release: String,
    /// How long.
    pub time: Duration,
    /// Counts the errors that visitors get meanwhile, if the app says what it answers.
    pub watch: Command,
}

impl fmt::Display for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watch {} for {} s, while the old release can still take over", self.release, self.time.as_secs())
    }
}
