//! The app's log is rotated by logrotate, where the system runs it.

use super::service::place;
use super::{Action, system};
use crate::env::Env;
use gatling_templates as templates;

/// Has logrotate rotate the log. Nothing where services are not the system's.
pub(super) fn install(env: &Env) -> anyhow::Result<Vec<Action>> {
    let Some(target) = env.paths.logrotate_file() else { return Ok(Vec::new()) };
    if !target.parent().is_some_and(std::path::Path::is_dir) {
        let log = env.paths.app_log();
        return Ok(vec![Action::warn(format!(
            "there is no logrotate on this server, and the app's log {} grows without an end: install it with \
             `apt-get install logrotate`",
            log.display()
        ))]);
    }
    let staged = env.deploy_dir.join("logrotate");
    let contents = templates::logrotate(&env.paths)?;
    if std::fs::read_to_string(&target).is_ok_and(|text| text == contents) {
        return Ok(Vec::new());
    }
    Ok(vec![Action::WriteFile { path: staged.clone(), contents, mode: 0o644 }, place(env, &staged, &target, "644")])
}

/// Removes what [`install`] installed.
pub(super) fn remove(env: &Env) -> Option<Action> {
    let target = env.paths.logrotate_file().filter(|file| file.is_file())?;
    Some(Action::run(system(env, "rm", ["-f", &target.display().to_string()])))
}
