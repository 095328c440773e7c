//! What ends a run early: somebody cancels it, or a step takes too long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use gatling_config::paths::ProjectPaths;
use gatling_runs::Events;
use gatling_text::duration;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::processes::kill_all;

/// How often to check whether the run must end.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Why a run is ended early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Somebody cancelled it.
    #[error("it was stopped by {by}")]
    Cancelled {
        /// Who.
        by: String,
    },
    /// A step took too long.
    #[error("it was stopped after {}: `step_timeout` in gatling.toml sets how long a step may take", duration(*after))]
    TimedOut {
        /// How long it may take.
        after: Duration,
    },
}

/// Ends a run early, if there is a reason to. Clones are the same.
#[derive(Clone)]
pub struct Interrupt(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Set while whatever is in progress must end.
    stop: Arc<AtomicBool>,
    cancelled: Arc<AtomicBool>,
}

#[derive(Default)]
struct State {
    reason: Option<Reason>,
    /// The run knows the reason: what it does from now on is not stopped.
    known: bool,
    phase: Phase,
    /// When the current step must have ended, and how long it may take.
    deadline: Option<(Instant, Duration)>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Stoppable,
    /// What serves is being changed: nothing may be stopped.
    Switching,
    /// What serves has been changed: the rest of the run completes that.
    Switched,
}

impl Interrupt {
    /// Waits for SIGTERM and SIGINT, and for steps that take too long. `who` says who has sent the signal.
    ///
    /// # Errors
    /// If signals cannot be waited for.
    pub fn watch(paths: &ProjectPaths, events: &Events, who: impl Fn() -> String + Send + 'static) -> Result<Self> {
        let interrupt = Self::never();
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.0.cancelled))
                .context("cannot wait for signals")?;
        }
        let (watched, paths, events) = (interrupt.clone(), paths.clone(), events.clone());
        thread::spawn(move || {
            loop {
                thread::sleep(POLL_INTERVAL);
                watched.look(&who, &events);
                if watched.0.stop.load(Ordering::Relaxed) {
                    // Repeated until the run knows: it may just have started another program.
                    kill_all(&paths);
                }
            }
        });
        Ok(interrupt)
    }

    /// For work that is not stopped.
    #[must_use]
    pub fn never() -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), stop: Arc::default(), cancelled: Arc::default() }))
    }

    fn look(&self, who: &dyn Fn() -> String, events: &Events) {
        let mut state = self.state();
        if state.reason.is_some() {
            return;
        }
        if self.0.cancelled.swap(false, Ordering::Relaxed) {
            if state.phase == Phase::Stoppable {
                state.reason = Some(Reason::Cancelled { by: who() });
            } else {
                events.warn(format!(
                    "{} cancelled the run too late: what serves is being changed, so the run continues to its end",
                    who()
                ));
            }
        }
        let overdue = state.deadline.filter(|(end, _)| Instant::now() >= *end && state.phase != Phase::Switching);
        if let (None, Some((_, after))) = (&state.reason, overdue) {
            state.reason = Some(Reason::TimedOut { after });
        }
        if state.reason.is_some() {
            self.0.stop.store(true, Ordering::Relaxed);
        }
    }

    /// Ends the time limit of the step before, and begins that of the next one.
    pub(crate) fn limit(&self, time: Option<Duration>) {
        self.state().deadline = time.and_then(|time| Some((Instant::now().checked_add(time)?, time)));
    }

    /// Fails if the run must end.
    ///
    /// # Errors
    /// With the reason.
    pub(crate) fn check(&self) -> Result<(), Reason> {
        let state = self.state();
        match &state.reason {
            Some(reason) if !state.known => Err(reason.clone()),
            _ => Ok(()),
        }
    }

    /// What serves is about to be changed: nothing is stopped until [`Interrupt::switched`].
    ///
    /// # Errors
    /// If the run must end.
    pub(crate) fn switching(&self) -> Result<(), Reason> {
        let mut state = self.state();
        if let Some(reason) = state.reason.clone().filter(|_| !state.known) {
            return Err(reason);
        }
        state.phase = Phase::Switching;
        Ok(())
    }

    /// What serves has been changed, or is as it was (`undone`).
    pub(crate) fn switched(&self, undone: bool) {
        self.state().phase = if undone { Phase::Stoppable } else { Phase::Switched };
    }

    /// Why the run must end, if it must. What it does from now on is not stopped.
    pub(crate) fn take(&self) -> Option<Reason> {
        let mut state = self.state();
        if state.reason.is_some() {
            state.known = true;
            self.0.stop.store(false, Ordering::Relaxed);
        }
        state.reason.clone()
    }

    /// A flag that is set while whatever is in progress must end.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.stop)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancel(interrupt: &Interrupt) {
        interrupt.0.cancelled.store(true, Ordering::Relaxed);
        interrupt.look(&|| "deploy".to_owned(), &Events::none());
    }

    #[test]
    fn a_cancelled_run_is_stopped_until_it_knows_why() {
        let interrupt = Interrupt::never();
        interrupt.check().expect("nobody has cancelled it");
        cancel(&interrupt);
        assert!(interrupt.flag().load(Ordering::Relaxed));
        assert_eq!(interrupt.check(), Err(Reason::Cancelled { by: "deploy".to_owned() }));
        assert_eq!(interrupt.take(), Some(Reason::Cancelled { by: "deploy".to_owned() }));
        assert!(!interrupt.flag().load(Ordering::Relaxed));
        interrupt.check().expect("what undoes a change is not stopped");
    }

    #[test]
    fn a_run_that_changes_what_serves_is_not_stopped() {
        let interrupt = Interrupt::never();
        interrupt.switching().expect("nobody has cancelled it");
        interrupt.limit(Some(Duration::ZERO));
        cancel(&interrupt);
        assert_eq!(interrupt.take(), None);
        interrupt.limit(None);
        interrupt.switched(false);
        cancel(&interrupt);
        assert_eq!(interrupt.take(), None);
    }

    #[test]
    fn a_step_that_takes_too_long_is_stopped() {
        let interrupt = Interrupt::never();
        interrupt.limit(Some(Duration::ZERO));
        interrupt.look(&String::new, &Events::none());
        assert_eq!(interrupt.check(), Err(Reason::TimedOut { after: Duration::ZERO }));
        assert!(format!("{}", interrupt.check().expect_err("it is stopped")).contains("step_timeout"));
    }
}
