//! The events of preparing and calling hooks, for the program that hosts them.

use std::sync::Arc;

/// An event while hooks are prepared or called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// A line that the hook, or a program that it runs, wrote to standard output or standard error.
    Output {
        /// The line, without its line ending.
        text: String,
        /// Whether more of the same line follows.
        open: bool,
    },
    /// A message that the hook logged.
    Log {
        /// Its severity.
        level: Level,
        /// The message.
        text: String,
    },
    /// The hook wants to run a program.
    Command(String),
    /// The hook uses one of its grants.
    GrantUsed {
        /// The grant: `run`, `read`, `write`, `http` or `env`.
        grant: &'static str,
        /// What it is used for.
        what: String,
    },
    /// The hook asked for something that is not granted.
    GrantRefused {
        /// The grant that would be needed.
        grant: &'static str,
        /// What was refused, and the line that would grant it.
        message: String,
    },
    /// A note for the user.
    Note(String),
    /// A message for debugging.
    Debug(String),
}

/// The severity of a log message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Only for debugging.
    Debug,
    /// For every reader of the log.
    Info,
    /// A problem that does not stop the hook.
    Warning,
    /// Something failed.
    Error,
}

/// Receives events. Clones send to the same receiver.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(HookEvent) + Send + Sync>);

impl Sink {
    /// Passes events to this function, which is called from several threads.
    pub fn new(receive: impl Fn(HookEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    pub(crate) fn emit(&self, event: HookEvent) {
        (self.0)(event);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A sink, and the events that it has received.
    pub(crate) fn captured() -> (Sink, Arc<Mutex<Vec<HookEvent>>>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&events);
        (Sink::new(move |event| into.lock().expect("no panic").push(event)), events)
    }
}
