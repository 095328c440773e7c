//! Tools for authors of hooks: creates hooks projects, builds them into components, and provides sample records to
//! try hooks with. The commands of `gatling hooks` print the messages.

pub mod build;
pub mod new;
pub mod sample;

mod bindings;
mod component;
mod packages;
mod toolchain;
mod world;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, bail};

/// The text of the contract, `wit/hooks.wit`.
pub const CONTRACT: &str = gatling_hook_host::WIT;

/// A language in which Gatling can create and build hooks projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Rust, with its own target for components.
    Rust,
    /// JavaScript, with QuickJS or StarlingMonkey in the component.
    Js,
    /// Python, with CPython in the component.
    Python,
    /// C, with clang and wasi-libc.
    C,
    /// Go, with the standard Go compiler.
    Go,
    /// Zig, with the bindings for C.
    Zig,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 6] = [Self::Rust, Self::Js, Self::Python, Self::C, Self::Go, Self::Zig];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Python => "python",
            Self::C => "c",
            Self::Go => "go",
            Self::Zig => "zig",
        }
    }

    /// Its name for display.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Js => "JavaScript",
            Self::Python => "Python",
            Self::C => "C",
            Self::Go => "Go",
            Self::Zig => "Zig",
        }
    }

    /// The file by which a project in this language is recognized.
    #[must_use]
    pub fn marker_file(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::Js => "package.json",
            Self::Python => "hooks.py",
            Self::C => "hooks.c",
            Self::Go => "go.mod",
            Self::Zig => "hooks.zig",
        }
    }

    /// The language of the project in `dir`.
    ///
    /// # Errors
    /// When it contains the marker file of no language or of several.
    pub fn of(dir: &Path) -> Result<Self> {
        let found: Vec<_> =
            Self::ALL.into_iter().filter(|language| dir.join(language.marker_file()).is_file()).collect();
        match found[..] {
            [language] => Ok(language),
            [] => {
                let files: Vec<_> = Self::ALL.iter().map(|language| language.marker_file()).collect();
                bail!(
                    "{} is not a hooks project: it has none of the files {}. To create a project, run \
                     `gatling hooks new DIR --lang LANGUAGE`",
                    dir.display(),
                    files.join(", ")
                )
            }
            [one, other, ..] => bail!(
                "{} could be {} or {}, because it has {} and {}: put the hooks of each language into a separate folder",
                dir.display(),
                one.title(),
                other.title(),
                one.marker_file(),
                other.marker_file()
            ),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|language| language.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|language| language.name()).collect();
            format!("Gatling has no templates for {name:?}: choose one of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_project_is_recognized_by_the_marker_file_of_its_language() {
        for language in Language::ALL {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(language.marker_file()), "").unwrap();
            assert_eq!(Language::of(dir.path()).unwrap(), language);
            assert_eq!(language.name().parse(), Ok(language));
        }
    }

    #[test]
    fn the_error_for_a_folder_of_no_language_or_of_two_names_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let error = Language::of(dir.path()).unwrap_err().to_string();
        assert!(error.contains("Cargo.toml, package.json, hooks.py, hooks.c, go.mod, hooks.zig"), "{error}");

        fs::write(dir.path().join("hooks.c"), "").unwrap();
        fs::write(dir.path().join("package.json"), "").unwrap();
        let error = Language::of(dir.path()).unwrap_err().to_string();
        assert!(error.contains("could be JavaScript or C, because it has package.json and hooks.c"), "{error}");
    }
}
