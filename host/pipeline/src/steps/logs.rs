//! logrotate rotates the app's log, if the system runs it.

use super::{install_file, system_command};
use crate::action::Action;
use crate::facts::Facts;
use gatling_runs::Change;

/// Makes logrotate rotate the log. Does nothing if services are not installed for the system.
pub(super) fn install(facts: &Facts) -> Vec<Action> {
    // Otherwise systemd's journal keeps the log.
    let Some(logrotate) = facts.server.logrotate.as_ref().filter(|_| facts.server.units.is_none()) else {
        return Vec::new();
    };
    if !logrotate.is_installed {
        let log = facts.paths.app_log(facts.slot);
        return vec![Action::warn(format!(
            "logrotate is not installed on this server, so the app's log {} grows without limit: install it with \
             `apt-get install logrotate`",
            log.display()
        ))];
    }
    if logrotate.text.as_ref() == Some(&logrotate.wanted) {
        return Vec::new();
    }
    let staged = facts.deploy_dir.join("logrotate");
    let contents = logrotate.wanted.clone();
    let install = install_file(facts, &staged, &logrotate.path, "644");
    vec![
        Action::WriteFile { path: staged, contents, mode: 0o644 },
        Action::change(Change::Service, logrotate.path.display().to_string(), install, Vec::new()),
    ]
}

/// Removes the file that [`install`] wrote.
pub(super) fn remove(facts: &Facts) -> Option<Action> {
    let target = facts.server.logrotate.as_ref().filter(|logrotate| logrotate.text.is_some())?;
    Some(Action::run(system_command(facts, "rm", ["-f", &target.path.display().to_string()])))
}
