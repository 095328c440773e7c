//! What is true just now, in this call. The [`Env`](crate::Env) says what is true of the whole
//! deployment.
//!
//! ```
//! use gatling_hooks::{deployment, info};
//!
//! info!("{} {}", deployment::phase(), deployment::step());
//! ```

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::host;

/// Before or after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The step has not begun.
    Before,
    /// The step has succeeded.
    After,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

/// What ended a run, in short. The hook `on_failure` gets a [`Failure`](crate::Failure) that says more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step that failed, or around which a hook failed; empty if the run failed before its first step.
    pub step: String,
    /// The hook that failed; none where the step itself did.
    pub hook: Option<String>,
    /// What Gatling says about it.
    pub message: String,
}

/// The id of this run, as in the name of its log file.
pub fn run_id() -> String {
    host::run_id()
}

/// The step that this hook belongs to, by its name in the pipeline: `mix_compile`. In `on_failure`, the step
/// of the failure.
pub fn step() -> String {
    host::step()
}

/// The phase that this hook belongs to; [`Phase::After`] in `on_failure`.
pub fn phase() -> Phase {
    host::phase()
}

/// Which attempt at this hook this is, from 1.
pub fn attempt() -> u32 {
    host::attempt()
}

/// When the run began.
pub fn started_at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(host::started_at())
}

/// What failed, for `on_failure`; none in any other hook.
pub fn failed() -> Option<Failure> {
    host::failed()
}
