//! The tools that build hooks: a file for each language says which commands they are, and what
//! is done with what they write.

mod c;
mod go;
mod js;
mod python;
mod rust;
mod zig;

use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};

use super::Language;
use super::world::World;
use gatling_process::{Command, CommandError, describe, find_program};

/// A project that is being built.
struct Job<'a> {
    dir: &'a Path,
    line: &'a mut dyn FnMut(&str),
}

/// Builds the component of the project in `dir`.
pub(super) fn build(
    language: Language,
    dir: &Path,
    world: Option<&World>,
    line: &mut dyn FnMut(&str),
) -> Result<Vec<u8>> {
    let mut job = Job { dir, line };
    let world =
        || world.with_context(|| format!("there is no folder {}: it holds the world", dir.join("wit").display()));
    match language {
        // Its world may be written by a macro.
        Language::Rust => rust::build(&mut job),
        Language::Js => js::build(&mut job, world()?),
        Language::Python => python::build(&mut job, world()?),
        Language::C => c::build(&mut job, world()?),
        Language::Go => go::build(&mut job, world()?),
        Language::Zig => zig::build(&mut job, world()?),
    }
}

/// Writes the bindings that the project's editor wants to see before the first build.
pub(super) fn write_bindings(language: Language, dir: &Path, world: &World) -> Result<()> {
    match language {
        Language::Rust | Language::Js | Language::Python => Ok(()),
        Language::C | Language::Zig => c::write_bindings(dir, world),
        Language::Go => go::write_bindings(dir, world),
    }
}

/// The line of go.mod that requires what the bindings for Go need.
pub(super) fn go_requirement() -> String {
    go::requirement()
}

impl Job<'_> {
    /// Shows a command and runs it; `install` says how to get the program, should it be missing.
    fn run(&mut self, command: &Command, install: &str) -> Result<()> {
        (self.line)(&format!("$ {command}"));
        match command.stream(|lines| lines.text.split('\n').for_each(|line| (self.line)(line))) {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => bail!("`{}` {}", command.program, describe(status)),
            Err(CommandError::NotFound { program }) => Err(missing(&program, install)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a program is there.
    fn has(&self, program: &str) -> bool {
        find_program(program, self.dir).is_some()
    }

    /// Whether a command can be run, and ends well.
    fn succeeds(&self, program: &str, args: &[&str]) -> bool {
        Command::new(program, args.iter().copied(), self.dir).output().is_ok()
    }
}

/// A program is not there.
fn missing(program: &str, install: &str) -> anyhow::Error {
    anyhow!("there is no {program} on the PATH: {install}")
}
