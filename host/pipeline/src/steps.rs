//! What each step does: pure functions from facts to actions.

mod assets;
pub(crate) mod logs;
pub(crate) mod migrate;
pub(crate) mod mix;
pub(crate) mod nginx;
pub(crate) mod release;
pub(crate) mod removal;
pub(crate) mod service;
#[cfg(test)]
mod tests;

use std::path::Path;

use gatling_process::Command;

use crate::action::Action;
use crate::facts::Facts;

/// A command that changes the system, with root's rights if they are needed.
fn system_command<const N: usize>(facts: &Facts, program: &str, args: [&str; N]) -> Command {
    Command::new(program, args, &facts.deploy_dir_or_root()).as_root(facts.server.sudo).quiet()
}

/// Copies a file of the deploy dir into a system folder.
fn install_file(facts: &Facts, from: &Path, to: &Path, mode: &str) -> Action {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    Action::run(system_command(facts, "install", ["-m", mode, &from, &to]))
}
