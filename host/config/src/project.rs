//! The name of a project.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A project's name: the `:app` in its mix.exs, and the name of its folders and its service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ProjectName(String);

impl ProjectName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a project name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// It has no characters.
    #[error("a project name must not be empty: use the :app of its mix.exs")]
    Empty,
    /// It doesn't start with a letter or digit: it could be an option or a hidden file.
    #[error("a project name must start with a letter or a digit, not with {0:?}")]
    Start(char),
    /// It has a character that is not allowed in file names, in service names or by nginx.
    #[error("a project name may contain letters, digits, '_', '-' and '.', but not {0:?}")]
    Character(char),
    /// It is the name of the folder that contains the deployments.
    #[error("a project cannot be named 'deployments': Gatling deploys to the folder of that name")]
    Reserved,
    /// It is longer than file systems and init systems allow.
    #[error("a project name may have at most 64 characters")]
    Long,
}

impl FromStr for ProjectName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        let first = name.chars().next().ok_or(NameError::Empty)?;
        if let Some(other) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"_-.".contains(*c)) {
            return Err(NameError::Character(other));
        }
        if !first.is_ascii_alphanumeric() {
            return Err(NameError::Start(first));
        }
        if name.len() > 64 {
            return Err(NameError::Long);
        }
        if name == "deployments" {
            return Err(NameError::Reserved);
        }
        Ok(Self(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_paths_or_look_like_options_are_refused() {
        for (name, error) in [
            ("", NameError::Empty),
            ("../etc", NameError::Character('/')),
            ("a/b", NameError::Character('/')),
            ("-rf", NameError::Start('-')),
            (".git", NameError::Start('.')),
            ("..", NameError::Start('.')),
            ("a b", NameError::Character(' ')),
            ("a\nb", NameError::Character('\n')),
            ("größe", NameError::Character('ö')),
            ("deployments", NameError::Reserved),
        ] {
            assert_eq!(name.parse::<ProjectName>(), Err(error), "{name:?}");
        }
        assert_eq!("a".repeat(65).parse::<ProjectName>(), Err(NameError::Long));
    }

    #[test]
    fn names_of_elixir_apps_are_accepted() {
        for name in ["hello", "my_app", "my_app2", "a"] {
            assert_eq!(name.parse::<ProjectName>().expect(name).as_str(), name);
        }
    }
}
