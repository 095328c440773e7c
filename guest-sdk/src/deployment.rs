//! Facts about this call of a hook. The [`Env`](crate::Env) has the facts about the whole deployment.
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
    /// The step has not started.
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

/// A short form of what ended a run. The hook `on_failure` gets a [`Failure`](crate::Failure) with more details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The step that failed, or whose hook failed; empty if the run failed before its first step.
    pub step: String,
    /// The hook that failed; `None` if the step itself failed.
    pub hook: Option<String>,
    /// The error message.
    pub message: String,
}

/// The id of this run, which is part of the name of its log file.
pub fn run_id() -> String {
    host::run_id()
}

/// The name of the step that this hook belongs to: `mix_compile`. In `on_failure`, the step that failed.
pub fn step() -> String {
    host::step()
}

/// The phase that this hook belongs to; [`Phase::After`] in `on_failure`.
pub fn phase() -> Phase {
    host::phase()
}

/// The number of this attempt to call the hook, from 1.
pub fn attempt() -> u32 {
    host::attempt()
}

/// When the run started.
pub fn started_at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(host::started_at())
}

/// What failed, in `on_failure`; `None` in any other hook.
pub fn failed() -> Option<Failure> {
    host::failed()
}
