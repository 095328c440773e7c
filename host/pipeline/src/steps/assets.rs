//! Digested assets, which nginx serves directly.

use std::path::Path;

use super::system_command;
use crate::action::{Action, Publish};
use crate::facts::Facts;
use gatling_runs::Change;

/// Makes the folder that nginx reads, if it does not exist.
pub(super) fn make_folder(facts: &Facts) -> Option<Action> {
    let folder = facts.paths.lib_dir().filter(|_| !facts.server.has_lib_dir)?;
    let (user, group) = facts.server.ids;
    let folder = folder.display().to_string();
    let args = ["-d", "-m", "755", "-o", &user.to_string(), "-g", &group.to_string(), &folder];
    Some(Action::run(system_command(facts, "install", args)))
}

/// Publishes the assets of a release.
pub(super) fn publish(facts: &Facts, release: &Path) -> Option<Action> {
    let to = facts.paths.assets_dir()?;
    let publish = Action::PublishAssets(Publish { release: release.to_owned(), to });
    Some(Action::change(Change::Assets, facts.release(), vec![publish], Vec::new()))
}

/// Removes the folder that [`make_folder`] made.
pub(super) fn remove(facts: &Facts) -> Option<Action> {
    let folder = facts.paths.lib_dir().filter(|_| facts.server.has_lib_dir)?;
    Some(Action::run(system_command(facts, "rm", ["-rf", &folder.display().to_string()])))
}
