//! The status of a project, determined anew for each call.

use std::fs;

use anyhow::Result;
use gatling_config::dotenv::Dotenv;
use gatling_config::roots::ProjectPaths;
use gatling_report::tables::Status;
use gatling_runs::{Runs, Serving};
use jiff::Timestamp;

use crate::serving;

/// How many of the latest runs are searched for those in progress and the last finished one.
const RECENT_RUNS: usize = 20;

/// The status of a project.
///
/// # Errors
/// If the folder of its runs cannot be read.
pub fn look(paths: &ProjectPaths) -> Result<Status> {
    let latest = Runs::below(&paths.state_dir()).latest(RECENT_RUNS)?;
    let runs: Vec<_> = latest.into_iter().filter_map(|(_, run)| run.ok()).collect();
    let serving = serving::look(paths);
    let settings = Dotenv::read(&paths.current_link().join("service.env")).unwrap_or_default();
    let current = fs::symlink_metadata(paths.current_link()).and_then(|link| link.modified()).ok();
    Ok(Status {
        project: paths.name.to_string(),
        healthy: matches!(serving, Serving::Serving { .. } | Serving::NotDeployed),
        hosts: serving::hosts(paths),
        pid: serving::running(paths).map(|running| running.pid),
        port: settings.get("GATLING_PORT").and_then(|port| port.parse().ok()),
        since: current.and_then(|time| Timestamp::try_from(time).ok()),
        last: runs.iter().find(|run| run.state.is_over()).cloned(),
        under_way: runs.into_iter().filter(|run| !run.state.is_over()).collect(),
        serving,
    })
}
