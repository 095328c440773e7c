//! The status of a project, determined anew for each call.

use std::fs;

use anyhow::Result;
use gatling_config::paths::ProjectPaths;
use gatling_report::tables::{Deaths, Status};
use gatling_runs::{Runs, Serving, State, Summary};
use jiff::{SignedDuration, Timestamp};

use crate::AppLog;
use crate::run::repository::Repository;
use crate::run::{Goal, deploy_command};
use crate::{maintenance, marks, serving};

/// How many of the latest runs are searched for those in progress and the last finished one.
const RECENT_RUNS: usize = 20;

/// How many of the latest runs are searched for a commit.
const KNOWN_RUNS: usize = 100;

/// For how long it is said that a release has died.
const LATELY: SignedDuration = SignedDuration::from_hours(1);

/// The status of a project.
///
/// # Errors
/// If the folder of its runs cannot be read.
pub fn look(paths: &ProjectPaths) -> Result<Status> {
    let latest = Runs::below(&paths.state_dir()).latest(RECENT_RUNS)?;
    let runs: Vec<_> = latest.into_iter().filter_map(|(_, run)| run.ok()).collect();
    let serving = serving::look(paths);
    let running = serving::running(paths);
    let pushed = Repository::at(&paths.build_dir()).latest();
    let deployed = deployed_commit(paths, &serving);
    let is_idle = runs.iter().all(|run| run.state.is_over());
    // Releases that an older Gatling has deployed don't name their commit.
    let is_known = deployed.is_some() || serving == Serving::NotDeployed;
    let is_behind = pushed.is_some() && pushed != deployed && is_known && is_idle;
    let current = fs::symlink_metadata(paths.current_link()).and_then(|link| link.modified()).ok();
    Ok(Status {
        project: paths.name.to_string(),
        healthy: matches!(serving, Serving::Serving { .. } | Serving::NotDeployed),
        hosts: serving::hosts(paths),
        pid: running.as_ref().map(|running| running.pid),
        port: running.and_then(|running| serving::port(paths, &running.release)),
        since: current.and_then(|time| Timestamp::try_from(time).ok()),
        deaths: deaths(paths),
        maintenance: maintenance::is_on(paths),
        pushed_mark: marks::read(paths)
            .into_iter()
            .rfind(|mark| is_behind && mark.commit == pushed)
            .map(|mark| mark.why),
        to_deploy: is_behind.then(|| deploy_command(paths)),
        pushed,
        deployed,
        last: runs
            .iter()
            .find(|run| run.state.is_over() && !matches!(run.pipeline.as_deref(), Some(Goal::EXPLAIN | Goal::RECOVER)))
            .cloned(),
        under_way: runs.into_iter().filter(|run| !run.state.is_over()).collect(),
        serving,
    })
}

/// How often the current release has died in the last hour, by the init script's notes. The script also starts it again.
fn deaths(paths: &ProjectPaths) -> Option<Deaths> {
    let release = paths.current_release()?;
    let text = fs::read_to_string(paths.restarts_file()).ok()?;
    let since = Timestamp::now() - LATELY;
    let times = text.lines().filter_map(|line| line.split_once(' ').filter(|(_, name)| *name == release));
    let times = times.filter_map(|(time, _)| Timestamp::from_second(time.parse().ok()?).ok());
    let times: Vec<_> = times.filter(|time| *time > since).collect();
    let log = AppLog::of(paths, serving::slot(paths, &release)).to_string();
    Some(Deaths { count: times.len(), last: *times.last()?, release, log })
}

/// The commit of the release that runs, or of the current one.
fn deployed_commit(paths: &ProjectPaths, serving: &Serving) -> Option<String> {
    let release = match serving {
        Serving::NotDeployed => return None,
        Serving::Serving { release }
        | Serving::Unserved { release, .. }
        | Serving::Unknown { release, .. }
        | Serving::Down { release, .. } => release,
    };
    serving::settings(paths, release).get("GATLING_COMMIT").filter(|commit| !commit.is_empty()).map(str::to_owned)
}

/// Whether no run has tried to deploy this commit, as far as runs are kept. git calls no hook if the names of the pushed
/// refs are too long for a command line.
///
/// # Errors
/// If the folder of its runs cannot be read.
pub fn was_never_tried(paths: &ProjectPaths, commit: &str) -> Result<bool> {
    let runs = Runs::below(&paths.state_dir()).latest(KNOWN_RUNS)?;
    let mut runs = runs.into_iter().filter_map(|(_, run)| run.ok());
    Ok(!runs.any(|run| is_of(&run, commit)))
}

fn is_of(run: &Summary, commit: &str) -> bool {
    [&run.commit, &run.pushed].into_iter().flatten().any(|own| own == commit)
}

/// How the deployment of a commit went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deployment {
    /// No run has tried it.
    Unknown,
    /// A run is in progress or waits.
    UnderWay,
    /// It serves.
    Serves,
    /// The run with this id has not deployed it, or it does not serve.
    Failed(String),
    /// A newer commit was to be deployed instead, or serves now.
    Superseded,
}

/// How the deployment of a commit, given by its full id, went.
///
/// # Errors
/// If the folder of its runs cannot be read.
pub fn deployment(paths: &ProjectPaths, commit: &str) -> Result<Deployment> {
    let runs = Runs::below(&paths.state_dir()).latest(KNOWN_RUNS)?;
    let runs: Vec<_> = runs.into_iter().filter_map(|(_, run)| run.ok()).collect();
    let Some(run) = runs.iter().find(|run| is_of(run, commit)) else {
        return Ok(if serving::serves_commit(paths, commit) { Deployment::Serves } else { Deployment::Unknown });
    };
    let newer_is_under_way = runs.iter().any(|other| other.id > run.id && !other.state.is_over());
    Ok(match run.state {
        State::Running | State::Waiting => Deployment::UnderWay,
        State::Superseded if newer_is_under_way => Deployment::UnderWay,
        _ if serving::serves_commit(paths, commit) => Deployment::Serves,
        State::Superseded => Deployment::Superseded,
        State::Failed | State::Cancelled | State::Killed => Deployment::Failed(run.id.clone()),
        State::Succeeded | State::Unchanged => match serving::look(paths) {
            Serving::Serving { .. } => Deployment::Superseded,
            _ => Deployment::Failed(run.id.clone()),
        },
    })
}
