//! What each step does: pure functions from facts to actions.

mod assets;
pub(crate) mod install;
pub(crate) mod logs;
pub(crate) mod migrate;
pub(crate) mod mix;
pub(crate) mod nginx;
pub(crate) mod release;
pub(crate) mod removal;
pub(crate) mod rollback;
pub(crate) mod service;
pub(crate) mod takeover;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use gatling_process::Command;

use crate::action::Action;
use crate::facts::Facts;

/// A command that changes the system, with root's rights if they are needed.
fn system_command<const N: usize>(facts: &Facts, program: &str, args: [&str; N]) -> Command {
    Command::new(program, args, &facts.deploy_dir_or_root()).as_root(facts.server.sudo).quiet()
}

/// Copies a file of the deploy dir into a system folder, which is made if it does not exist.
fn copy(facts: &Facts, from: &Path, to: &Path, mode: &str) -> Command {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    system_command(facts, "install", ["-D", "-m", mode, &from, &to])
}

/// Where the new contents of a system file are copied first: a hidden file in the same folder.
#[must_use]
pub fn draft(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{}.gatling-new", path.file_name().unwrap_or_default().display()))
}

/// Removes the copies that an interrupted run has left beside system files.
fn remove_drafts(facts: &Facts) -> Vec<Action> {
    let drafts = facts.server.drafts.iter().map(|draft| draft.display().to_string());
    drafts.map(|draft| Action::run(system_command(facts, "rm", ["-f", &draft]))).collect()
}

/// Puts a file, which is in the same folder, in the place of another: the other is replaced whole or not at all, because
/// `ln -f` makes a link of another name and renames it.
fn replace(facts: &Facts, new: &Path, path: &Path) -> [Command; 2] {
    let (new, path) = (new.display().to_string(), path.display().to_string());
    [system_command(facts, "ln", ["-fT", &new, &path]), system_command(facts, "rm", ["-f", &new])]
}

/// Copies a file of the deploy dir into a system folder: what was there before is replaced whole or not at all, also if
/// the power fails.
fn install_file(facts: &Facts, from: &Path, to: &Path, mode: &str) -> Vec<Action> {
    let draft = draft(to);
    let mut actions = vec![Action::run(copy(facts, from, &draft, mode)), Action::sync(&draft)];
    actions.extend(replace(facts, &draft, to).map(Action::Run));
    actions.extend(to.parent().map(Action::sync));
    actions
}
