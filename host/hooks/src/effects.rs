//! The effects of hooks: running a program, changing a file, sending a request. A dry run lists them instead
//! of carrying them out.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Whether effects are carried out, and whether there were any. Clones share their state.
#[derive(Clone, Default)]
pub(crate) struct Effects {
    /// The effects of a dry run; `None` if effects are carried out.
    planned: Option<Arc<Mutex<Vec<PlannedEffect>>>>,
    done: Arc<AtomicBool>,
}

impl Effects {
    /// Lists effects instead of carrying them out.
    pub(crate) fn dry_run() -> Self {
        Self { planned: Some(Arc::default()), ..Self::default() }
    }

    /// Whether effects are only listed.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.planned.is_some()
    }

    /// In a dry run, lists the effect and returns true. Otherwise returns false: the caller must carry it out.
    pub(crate) fn plan(&self, effect: impl FnOnce() -> PlannedEffect) -> bool {
        let Some(planned) = &self.planned else {
            self.record();
            return false;
        };
        planned.lock().unwrap_or_else(PoisonError::into_inner).push(effect());
        true
    }

    /// Records that an effect is carried out.
    pub(crate) fn record(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    /// Whether an effect was, or may have been, carried out.
    pub(crate) fn any_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }

    /// The effects of a dry run.
    pub(crate) fn planned(&self) -> Vec<PlannedEffect> {
        self.planned.iter().flat_map(|planned| planned.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}

/// An effect that a hook asked for in a dry run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedEffect {
    /// Run a program: the command line.
    Run(String),
    /// Change a file: the change and the path.
    Write(String),
    /// Send a request: the method and the URL.
    Request(String),
}

impl PlannedEffect {
    /// The same effect with its text changed.
    #[must_use]
    pub fn map(&self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Run(text) => Self::Run(change(text)),
            Self::Write(text) => Self::Write(change(text)),
            Self::Request(text) => Self::Request(change(text)),
        }
    }
}

impl fmt::Display for PlannedEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(what) => write!(f, "run      {what}"),
            Self::Write(what) => write!(f, "file     {what}"),
            Self::Request(what) => write!(f, "request  {what}"),
        }
    }
}
