//! What earlier and later runs of the project tell a run.

use anyhow::Result;
use gatling_pipeline::Pipeline;
use gatling_runs::{Runs, State, Summary, boot};

use super::{Goal, Request};
use crate::serving;

/// How many of the latest runs are read.
const LATEST_RUNS: usize = 20;

/// The other runs of the project, seen from one run.
pub(super) struct History<'a> {
    request: &'a Request,
    runs: &'a Runs,
}

impl<'a> History<'a> {
    pub(super) fn new(request: &'a Request, runs: &'a Runs) -> Self {
        Self { request, runs }
    }

    /// The latest runs but this one, the latest first.
    fn others(&self) -> Result<impl Iterator<Item = Summary>> {
        let latest = self.runs.latest(LATEST_RUNS)?.into_iter().filter_map(|(_, run)| run.ok());
        Ok(latest.filter(|run| run.id != self.request.id))
    }

    /// A run that was begun later and deploys the latest commit: it waits, is in progress, or has succeeded.
    pub(super) fn newer(&self) -> Result<Option<String>> {
        let Request { goal, paths, strict, id, .. } = self.request;
        if !goal.deploys() || strict.is_some() {
            return Ok(None);
        }
        let is_complete = paths.is_deployment_complete();
        let deploys = |run: &Summary| match run.pipeline.as_deref().unwrap_or(Goal::PUSH).parse() {
            // It is refused if the project is deployed.
            Ok(Goal::Pipeline(Pipeline::Deploy)) => !is_complete,
            goal => goal.is_ok_and(Goal::deploys) && !run.strict,
        };
        let does = |run: &Summary| !run.state.is_over() || run.state == State::Succeeded && has_commit(run);
        Ok(self.others()?.find(|run| run.id > *id && deploys(run) && does(run)).map(|run| run.id))
    }

    /// Whether the server went down before the files that an earlier run checked out and built were on the disk.
    pub(super) fn has_power_failed(&self) -> Result<bool> {
        let mut unsynced = self.others()?.take_while(|run| !run.synced);
        // Other runs did not reach the checkout.
        let has_files = |run: &Summary| run.state == State::Killed || has_commit(run);
        Ok(unsynced.any(|run| has_files(&run) && run.boot.is_some() && run.boot != boot::id()))
    }

    /// Whether another run has deployed something since this one was begun.
    pub(super) fn was_overtaken(&self) -> Result<bool> {
        let begun = self.runs.summary(&self.request.id)?.started_at;
        let mut deployed = self.others()?.filter(|run| run.state == State::Succeeded && has_commit(run));
        Ok(deployed.any(|run| run.finished_at.is_some_and(|end| end > begun)))
    }

    /// Whether this commit serves, and the latest run that deployed anything has deployed it.
    pub(super) fn is_deployed(&self, commit: &str) -> Result<bool> {
        // A run that was killed may have replaced the release since.
        if !serving::serves_commit(&self.request.paths, commit) {
            return Ok(false);
        }
        let latest = self.others()?.filter(has_commit).max_by_key(|other| other.finished_at);
        Ok(latest.is_some_and(|latest| latest.state == State::Succeeded && latest.commit.as_deref() == Some(commit)))
    }
}

/// Whether a run reached the point where it knew what to deploy. Runs that had nothing to do, and restarts, did not.
fn has_commit(run: &Summary) -> bool {
    run.commit.as_ref().is_some_and(|commit| !commit.is_empty())
}
