//! Gatling: `git push` an Elixir app to your own server. Every step of a deployment is wrapped in
//! hooks that the app's author writes, in any language, as a sandboxed WebAssembly component.
//!
//! The way of the data: [`env::Env`] is built once from what the server and the project say;
//! [`task`] lists the steps; each step says, as values, what is to be done ([`steps::Action`]);
//! [`run`] carries it out under a lock, and calls [`hooks`] around each step.

pub mod authoring;
pub mod env;
pub mod hooks;
pub mod http;
pub mod mix;
pub mod nginx;
pub mod plan;
pub mod release;
pub mod restart;
pub mod run;
pub mod serving;
pub mod status;
pub mod steps;
pub mod tail;
pub mod task;
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
