//! `gatling cancel`.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use gatling_config::project::ProjectName;
use gatling_engine::run::worker;
use gatling_runs::{Runs, State, Summary};

use super::{FAILED, caller, known_run, runs_of, say};

/// How many of the latest runs are searched for one in progress.
const RECENT_RUNS: usize = 20;
/// How often to check whether the run has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Stop a run that is in progress, with everything that it has started
///
/// What served before keeps serving. A run that is already changing what serves is not stopped: it is
/// finished, and gatling cancel says so and exits with 1.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// The run's id or the beginning of it [default: the run in progress, otherwise the latest that waits]
    run: Option<String>,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let runs = runs_of(&args.project)?;
    let run = find(&runs, args)?;
    let Some(pid) = worker::of_run(&run) else {
        bail!("the run {} has no process any more: see `gatling log {} {}`", run.id, args.project, run.id);
    };
    let note = runs.cancelled_by(&run.id);
    fs::write(&note, caller()).with_context(|| format!("cannot write {}", note.display()))?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("cannot stop the run")?;
    say(&format!("stopping the run {} of {}\n", run.id, args.project))?;
    loop {
        let state = runs.summary(&run.id)?.state;
        if state.is_over() {
            say(&match state {
                State::Cancelled | State::Killed => {
                    format!("it was stopped. To see where: gatling log {} {}\n", args.project, run.id)
                }
                state => format!(
                    "it was too late to stop it; it {}. See `gatling log {} {}`\n",
                    ended(state),
                    args.project,
                    run.id
                ),
            })?;
            return Ok(if matches!(state, State::Cancelled | State::Killed) { 0 } else { FAILED });
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// The run to stop.
fn find(runs: &Runs, args: &Args) -> Result<Summary> {
    if let Some(asked) = &args.run {
        let id = known_run(runs, &args.project, Some(asked))?;
        let run = runs.summary(&id)?;
        if run.state.is_over() {
            bail!("the run {id} has already ended: it {}", ended(run.state));
        }
        return Ok(run);
    }
    let latest = runs.latest(RECENT_RUNS)?.into_iter().filter_map(|(_, run)| run.ok());
    let mut in_progress: Vec<_> = latest.filter(|run| !run.state.is_over()).collect();
    // The latest run that waits comes after the one that is in progress.
    in_progress.sort_by_key(|run| run.state == State::Waiting);
    match in_progress.into_iter().next() {
        Some(run) => Ok(run),
        None => bail!("no run of {0} is in progress. The latest ones: gatling history {0}", args.project),
    }
}

/// How a run ended, as a predicate.
fn ended(state: State) -> &'static str {
    match state {
        State::Running | State::Waiting => "is in progress",
        State::Succeeded => "succeeded",
        State::Failed => "failed",
        State::Cancelled => "was cancelled",
        State::Unchanged => "had nothing to do",
        State::Superseded => "left its work to a newer run",
        State::Killed => "was killed",
    }
}
