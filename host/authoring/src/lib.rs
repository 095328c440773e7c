//! What authors of hooks work with: a new project of hooks, the way from its source to a component, and made-up
//! records to try it with. Talks to no one; `gatling hooks` does.

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

/// The text of the contract, as it stands in `wit/hooks.wit`.
pub const CONTRACT: &str = gatling_hook_host::WIT;

/// A language that Gatling can start a project of hooks in, and build it.
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
    /// Go, with the compiler of the Go project itself.
    Go,
    /// Zig, over the bindings for C.
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

    /// Its name among people.
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

    /// The file by which a project in this language is known: no other language's has it.
    #[must_use]
    pub fn mark(self) -> &'static str {
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
    /// When no language's file is in it, or those of several are.
    pub fn of(dir: &Path) -> Result<Self> {
        let marked: Vec<_> = Self::ALL.into_iter().filter(|language| dir.join(language.mark()).is_file()).collect();
        match marked[..] {
            [language] => Ok(language),
            [] => {
                let marks: Vec<_> = Self::ALL.iter().map(|language| language.mark()).collect();
                bail!(
                    "{} is no project of hooks: none of {} is in it. To make one: gatling hooks new DIR --lang LANGUAGE",
                    dir.display(),
                    marks.join(", ")
                )
            }
            [one, other, ..] => bail!(
                "{} could be {} or {}, because it has {} and {}: put each language's hooks into a folder of their own",
                dir.display(),
                one.title(),
                other.title(),
                one.mark(),
                other.mark()
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
            format!("gatling has no templates for {name:?}: the languages are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_project_is_known_by_the_file_that_only_its_language_has() {
        for language in Language::ALL {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(language.mark()), "").unwrap();
            assert_eq!(Language::of(dir.path()).unwrap(), language);
            assert_eq!(language.name().parse(), Ok(language));
        }
    }

    #[test]
    fn a_folder_of_no_language_or_of_two_is_refused_with_what_was_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let error = Language::of(dir.path()).unwrap_err().to_string();
        assert!(error.contains("Cargo.toml, package.json, hooks.py, hooks.c, go.mod, hooks.zig"), "{error}");

        fs::write(dir.path().join("hooks.c"), "").unwrap();
        fs::write(dir.path().join("package.json"), "").unwrap();
        let error = Language::of(dir.path()).unwrap_err().to_string();
        assert!(error.contains("could be JavaScript or C, because it has package.json and hooks.c"), "{error}");
    }
}
