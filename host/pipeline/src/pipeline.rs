//! The pipelines.

use std::fmt;
use std::str::FromStr;

use gatling_names::Name;
use serde::{Serialize, Serializer};

/// A pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pipeline {
    /// The first deployment.
    Deploy,
    /// Every later deployment.
    Upgrade,
    /// Has an older release serve again, without building anything.
    Rollback,
    /// Removes the project from the server.
    Unload,
}

impl Pipeline {
    /// All pipelines.
    pub const ALL: [Self; 4] = [Self::Deploy, Self::Upgrade, Self::Rollback, Self::Unload];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> Name {
        Name::literal(match self {
            Self::Deploy => "deploy",
            Self::Upgrade => "upgrade",
            Self::Rollback => "rollback",
            Self::Unload => "unload",
        })
    }

    /// The pipeline of that name.
    #[must_use]
    pub fn named(name: &Name) -> Option<Self> {
        Self::ALL.into_iter().find(|pipeline| pipeline.name() == *name)
    }

    /// The name of the file in the project's root that holds its hooks.
    #[must_use]
    pub fn hooks_file(self) -> String {
        format!("{}.wasm", self.name())
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl Serialize for Pipeline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.name().serialize(serializer)
    }
}

impl FromStr for Pipeline {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|pipeline| pipeline.name() == name).ok_or_else(|| {
            format!("{name:?} is not a pipeline: the pipelines are deploy, upgrade, rollback and unload")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_found_by_its_name() {
        for pipeline in Pipeline::ALL {
            assert_eq!(pipeline.name().parse(), Ok(pipeline));
            assert_eq!(Pipeline::named(&pipeline.name()), Some(pipeline));
        }
        assert!("deploi".parse::<Pipeline>().expect_err("a typo").contains("deploy, upgrade, rollback and unload"));
    }
}
