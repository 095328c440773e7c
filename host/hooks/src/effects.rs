//! What hooks do beyond looking: whether they did any of it, and trying a hook without
//! consequences, where what it asks for is listed instead of done.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Whether what a hook asks for is carried out, and whether there was any of it. Clones know of
/// each other.
#[derive(Clone, Default)]
pub(crate) struct Effects {
    listed: Option<Arc<Mutex<Vec<PlannedEffect>>>>,
    done: Arc<AtomicBool>,
}

impl Effects {
    /// Nothing is carried out, all is listed.
    pub(crate) fn listed() -> Self {
        Self { listed: Some(Arc::default()), ..Self::default() }
    }

    /// Whether nothing is carried out.
    pub(crate) fn are_listed(&self) -> bool {
        self.listed.is_some()
    }

    /// Lists what isn't carried out; false where it is to be carried out.
    pub(crate) fn list(&self, wish: impl FnOnce() -> PlannedEffect) -> bool {
        let Some(listed) = &self.listed else {
            self.note();
            return false;
        };
        listed.lock().unwrap_or_else(PoisonError::into_inner).push(wish());
        true
    }

    /// Takes note that something is carried out.
    pub(crate) fn note(&self) {
        self.done.store(true, Ordering::Relaxed);
    }

    /// Whether anything was carried out, or may have been.
    pub(crate) fn were_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }

    /// What was listed.
    pub(crate) fn planned(&self) -> Vec<PlannedEffect> {
        self.listed.iter().flat_map(|listed| listed.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}

/// Something that a hook asked for and that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlannedEffect {
    /// To run a program: its command line.
    Run(String),
    /// To change a file: how, and which.
    Write(String),
    /// To send a request: its method and URL.
    Request(String),
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
