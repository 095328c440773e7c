//! The app's log is rotated by logrotate, where the system runs it.

use super::{place, system};
use crate::action::Action;
use crate::facts::Facts;

/// Has logrotate rotate the log. Nothing where services are not the system's.
pub(super) fn install(facts: &Facts) -> Vec<Action> {
    let Some(logrotate) = &facts.server.logrotate else { return Vec::new() };
    if !logrotate.is_installed {
        let log = facts.paths.app_log();
        return vec![Action::warn(format!(
            "there is no logrotate on this server, and the app's log {} grows without an end: install it with \
             `apt-get install logrotate`",
            log.display()
        ))];
    }
    if logrotate.text.as_ref() == Some(&logrotate.wanted) {
        return Vec::new();
    }
    let staged = facts.deploy_dir.join("logrotate");
    let contents = logrotate.wanted.clone();
    vec![
        Action::WriteFile { path: staged.clone(), contents, mode: 0o644 },
        place(facts, &staged, &logrotate.path, "644"),
    ]
}

/// Removes what [`install`] installed.
pub(super) fn remove(facts: &Facts) -> Option<Action> {
    let target = facts.server.logrotate.as_ref().filter(|logrotate| logrotate.text.is_some())?;
    Some(Action::run(system(facts, "rm", ["-f", &target.path.display().to_string()])))
}
