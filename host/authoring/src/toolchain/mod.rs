//! The tools that build hooks. Each language has a file with its commands.

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
    on_line: &'a mut dyn FnMut(&str),
}

/// Builds the component of the project in `dir`.
pub(super) fn build(
    language: Language,
    dir: &Path,
    world: Option<&World>,
    on_line: &mut dyn FnMut(&str),
) -> Result<Vec<u8>> {
    let mut job = Job { dir, on_line };
    let world =
        || world.with_context(|| format!("the folder {}, with the world, does not exist", dir.join("wit").display()));
    match language {
        // Its world can be defined in a macro.
        Language::Rust => rust::build(&mut job),
        Language::Js => js::build(&mut job, world()?),
        Language::Python => python::build(&mut job, world()?),
        Language::C => c::build(&mut job, world()?),
        Language::Go => go::build(&mut job, world()?),
        Language::Zig => zig::build(&mut job, world()?),
    }
}

/// Writes the bindings that an editor needs before the first build.
pub(super) fn write_bindings(language: Language, dir: &Path, world: &World) -> Result<()> {
    match language {
        Language::Rust | Language::Js | Language::Python => Ok(()),
        Language::C | Language::Zig => c::write_bindings(dir, world),
        Language::Go => go::write_bindings(dir, world),
    }
}

/// The requirement of the bindings for Go in go.mod.
pub(super) fn go_requirement() -> String {
    go::requirement()
}

impl Job<'_> {
    /// Shows a command and runs it. `install` says how to install the program, for the error if it is missing.
    fn run(&mut self, command: &Command, install: &str) -> Result<()> {
        (self.on_line)(&format!("$ {command}"));
        match command.stream(|lines| lines.text.split('\n').for_each(|line| (self.on_line)(line))) {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => bail!("`{}` {}", command.program, describe(status)),
            Err(CommandError::NotFound { program }) => Err(missing(&program, install)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a program is installed.
    fn has(&self, program: &str) -> bool {
        find_program(program, self.dir).is_some()
    }

    /// Whether a command can be run and succeeds.
    fn succeeds(&self, program: &str, args: &[&str]) -> bool {
        Command::new(program, args.iter().copied(), self.dir).output().is_ok()
    }
}

/// The error for a missing program.
fn missing(program: &str, install: &str) -> anyhow::Error {
    anyhow!("there is no {program} on the PATH: {install}")
}
