//! What happens while hooks are made ready and called, as the program that hosts them sees it.

use std::sync::Arc;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookEvent {
    /// A line that the hook, or a program that it runs, wrote to its standard output or error. `open` says that
    /// its end is still to come.
    Output {
        /// The line, without its end.
        text: String,
        /// Whether more of the same line follows.
        open: bool,
    },
    /// What the hook wrote to the log.
    Log {
        /// How important the hook says it is.
        level: Level,
        /// What it wrote.
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
    /// The hook asked for something that it has no grant for.
    GrantRefused {
        /// The grant that would be needed.
        grant: &'static str,
        /// What was refused, and the line that would grant it.
        message: String,
    },
    /// Something about what happens, for people.
    Note(String),
    /// Something for people who look for a fault.
    Debug(String),
}

/// How important a hook says a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For people who look for a fault.
    Debug,
    /// For everybody.
    Info,
    /// Something is not as it should be.
    Warning,
    /// Something failed.
    Error,
}

/// Where events go. Clones lead to the same place.
#[derive(Clone)]
pub struct Sink(Arc<dyn Fn(HookEvent) + Send + Sync>);

impl Sink {
    /// Events go to this function. It is called from several threads.
    pub fn new(take: impl Fn(HookEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    pub(crate) fn emit(&self, event: HookEvent) {
        (self.0)(event);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A sink, and what went into it.
    pub(crate) fn captured() -> (Sink, Arc<Mutex<Vec<HookEvent>>>) {
        let events = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&events);
        (Sink::new(move |event| into.lock().expect("no panic").push(event)), events)
    }
}
