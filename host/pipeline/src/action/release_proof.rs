//! What a release must do before it counts as serving.

use std::fmt;

use gatling_config::paths::ProjectPaths;
use serde::Serialize;

/// What a release must do before it counts as serving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleaseProof {
    /// The project.
    #[serde(skip)]
    pub paths: ProjectPaths,
    /// The release.
    pub release: String,
    /// The app's port.
    pub port: u16,
    /// Whether it must be the current release, which the server starts when it boots.
    pub is_current: bool,
    /// The app's Phoenix endpoints.
    #[serde(skip)]
    pub endpoints: Vec<String>,
    /// Host names that visitors use.
    #[serde(skip)]
    pub hosts: Vec<String>,
    /// The host names in the project's file `domains`.
    #[serde(skip)]
    pub domains: Vec<String>,
}

impl fmt::Display for ReleaseProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "check that {} listens on port {}", self.release, self.port)
    }
}
