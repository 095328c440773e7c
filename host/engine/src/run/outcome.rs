//! How a run ended, and what to do if it failed.

use std::time::Instant;

use gatling_config::paths::ProjectPaths;
use gatling_pipeline::Pipeline;
use gatling_runs::{Event, Outcome};

use super::interrupt::{Interrupt, Reason};
use super::{Goal, Request};
use crate::serving;

/// How a run succeeded.
pub(super) enum Done {
    /// There was nothing to do.
    Unchanged,
    /// A newer run does it.
    Superseded,
    /// The app can be reached at these host names, or at this port; nowhere, once it is unloaded.
    Serving(Vec<String>),
}

pub(super) fn success(done: &Done, begun: Instant) -> Event {
    let (outcome, places) = match done {
        Done::Unchanged => (Outcome::Unchanged, Vec::new()),
        Done::Superseded => (Outcome::Superseded, Vec::new()),
        Done::Serving(places) => (Outcome::Succeeded, places.clone()),
    };
    let seconds = begun.elapsed().as_secs_f64();
    Event::Ended { outcome, seconds, error: Vec::new(), serving: None, again: None, places }
}

/// What failed, or who cancelled the run, what is serving now, and what to do.
pub(super) fn failure(
    request: &Request,
    goal: Goal,
    error: &anyhow::Error,
    interrupt: &Interrupt,
    begun: Instant,
) -> Event {
    let reason = interrupt.take();
    let outcome = match &reason {
        Some(Reason::Cancelled { .. }) => Outcome::Cancelled,
        _ => Outcome::Failed,
    };
    Event::Ended {
        outcome,
        seconds: begun.elapsed().as_secs_f64(),
        error: error.chain().map(ToString::to_string).collect(),
        serving: Some(serving::look(&request.paths)),
        // What a strict push does not deploy is not in the branch.
        again: request.strict.is_none().then(|| again(request, goal)),
        places: Vec::new(),
    }
}

/// The command that tries again.
pub(super) fn again(request: &Request, goal: Goal) -> String {
    let paths = &request.paths;
    let command = match goal {
        Goal::Pipeline(Pipeline::Unload) => "unload",
        Goal::Restart => "restart",
        Goal::Pipeline(Pipeline::Rollback) => return request.rollback.command(paths),
        Goal::Recover => "status",
        Goal::Explain => return format!("gatling upgrade {} --explain", paths.name),
        _ => return deploy_command(paths),
    };
    format!("gatling {command} {}", paths.name)
}

/// The command that deploys the latest commit.
#[must_use]
pub fn deploy_command(paths: &ProjectPaths) -> String {
    let command = if paths.is_deployment_complete() { "upgrade" } else { "deploy" };
    format!("gatling {command} {}", paths.name)
}
