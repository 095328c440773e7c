//! The releases of a project that are on the server.

use std::fs;

use anyhow::Result;
use gatling_config::paths::ProjectPaths;
use gatling_report::tables::ReleaseInfo;
use gatling_runs::{Runs, State};
use jiff::Timestamp;

use crate::{marks, serving};

/// How many of the latest runs are searched for when a release served.
const KNOWN_RUNS: usize = 500;

/// The releases of a project that are on the server, the latest first.
///
/// # Errors
/// If the folder of its runs cannot be read.
pub fn list(paths: &ProjectPaths) -> Result<Vec<ReleaseInfo>> {
    let runs: Vec<_> =
        Runs::below(&paths.state_dir()).latest(KNOWN_RUNS)?.into_iter().filter_map(|(_, run)| run.ok()).collect();
    let marks = marks::read(paths);
    let (served, current) = (paths.served(), paths.current_release());
    let running: Vec<_> = serving::all_running(paths).into_iter().map(|running| running.release).collect();
    let entries = fs::read_dir(paths.releases_dir()).into_iter().flatten().flatten();
    let mut releases: Vec<_> = entries
        .filter_map(|entry| {
            let release = entry.file_name().into_string().ok()?;
            let built = entry.path().join(paths.name.as_str()).metadata().and_then(|folder| folder.modified()).ok()?;
            let settings = serving::settings(paths, &release);
            let of_release = runs.iter().filter(|run| run.release.as_ref() == Some(&release));
            let succeeded = of_release.clone().find(|run| run.state == State::Succeeded);
            let failed =
                of_release.clone().find(|run| matches!(run.state, State::Failed | State::Cancelled | State::Killed));
            Some(ReleaseInfo {
                is_current: current.as_ref() == Some(&release),
                runs: running.contains(&release),
                served: served.contains(&release),
                commit: settings.get("GATLING_COMMIT").filter(|commit| !commit.is_empty()).map(str::to_owned),
                built: Timestamp::try_from(built).ok(),
                served_since: succeeded.and_then(|run| run.finished_at),
                failed_at: failed.filter(|_| succeeded.is_none()).and_then(|run| run.finished_at),
                mark: marks.iter().rfind(|mark| mark.release == release).map(|mark| mark.why.clone()),
                release,
            })
        })
        .collect();
    let position = |release: &ReleaseInfo| served.iter().position(|name| *name == release.release);
    releases.sort_by_key(|release| std::cmp::Reverse((release.is_current, position(release), release.built)));
    Ok(releases)
}
