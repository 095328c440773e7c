//! A copy of a release.

use std::fmt;

use gatling_config::paths::ProjectPaths;
use serde::Serialize;

use crate::facts::server::Place;

/// A copy of a release, which has the release's environment, but another place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleaseCopy {
    /// The project.
    #[serde(skip)]
    pub paths: ProjectPaths,
    /// The release.
    pub from: String,
    /// The name of the copy.
    pub to: String,
    /// Where the copy runs.
    #[serde(skip)]
    pub place: Place,
}

impl fmt::Display for ReleaseCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, place, .. } = self;
        write!(f, "copy {from} to {to}, for port {}", place.port)
    }
}
