//! Everything with effects. [`facts`] gathers facts about a project and its server. A [`run`] carries out the plan
//! that `gatling-pipeline` computes from them, action by action ([`perform`]), and calls the project's [`hooks`]
//! before and after each step.

mod app_log;
pub mod facts;
pub mod hooks;
mod http;
pub mod maintenance;
pub mod marks;
mod mix;
mod nginx;
pub mod perform;
pub mod release;
pub mod releases;
mod restart;
mod rollback;
pub mod run;
pub mod serving;
pub mod status;
pub mod tail;
mod takeover;
pub mod toolchain;

pub use app_log::AppLog;

#[cfg(test)]
pub(crate) mod tests {
    //! Helpers for tests.

    use std::sync::{Arc, Mutex};

    use gatling_runs::{Event, Events, Sink};

    /// Events that a test can inspect.
    pub(crate) fn captured() -> (Events, Captured) {
        let captured = Captured::default();
        (Events::new(captured.clone()), captured)
    }

    #[derive(Clone, Default)]
    pub(crate) struct Captured(Arc<Mutex<Vec<Event>>>);

    impl Captured {
        pub(crate) fn events(&self) -> Vec<Event> {
            self.0.lock().expect("no panic").clone()
        }
    }

    impl Sink for Captured {
        fn take(&self, event: Event) {
            self.0.lock().expect("no panic").push(event);
        }
    }
}
