//! Everything with effects. Facts about a project and its server are gathered in [`facts`]; the plan that
//! `gatling-pipeline` makes of them is carried out by a [`run`], action by action ([`perform`]), with the project's
//! [`hooks`] around each step.

pub mod facts;
pub mod hooks;
mod http;
mod mix;
mod nginx;
pub mod perform;
pub mod release;
pub mod restart;
pub mod run;
pub mod serving;
pub mod status;
pub mod tail;
pub mod toolchain;

#[cfg(test)]
pub(crate) mod tests {
    //! What tests share.

    use std::sync::{Arc, Mutex};

    use gatling_runs::{Event, Events, Sink};

    /// Events that a test can look at.
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
