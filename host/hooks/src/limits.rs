//! The limits of a hook: time, memory, and the size of its log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytesize::ByteSize;
use wasmtime::ResourceLimiter;

use crate::event::{HookEvent, Level, Sink};
use gatling_text::duration;

/// How many instances of core modules a component may have. Components from real toolchains have a few dozen.
pub(crate) const MAX_INSTANCES: usize = 200;

/// The limits of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time of a call, including the time that the hook waits for programs and servers.
    pub timeout: Duration,
    /// Linear memory, in bytes.
    pub memory: usize,
    /// Elements of tables.
    pub table: usize,
    /// Log lines per call.
    pub log_lines: usize,
    /// Log size per call, in bytes.
    pub log_bytes: usize,
    /// How much of a program's output is returned to the hook, in bytes.
    pub output: usize,
    /// How much of an error's text is shown, in bytes.
    pub error: usize,
    /// Wall-clock time for compiling the hooks file.
    pub compile_timeout: Duration,
    /// Memory for compiling the hooks file, in bytes.
    pub compile_memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(5),
            memory: 512 << 20,
            table: 100_000,
            log_lines: 10_000,
            log_bytes: 4 << 20,
            output: 4 << 20,
            error: 8 << 10,
            compile_timeout: Duration::from_mins(5),
            compile_memory: 2 << 30,
        }
    }
}

/// A limit that a hook exceeded.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LimitHit {
    /// [`Limits::timeout`].
    #[error("time limit ({}) exceeded", duration(*.0))]
    Time(Duration),
    /// [`Limits::compile_timeout`].
    #[error("compile time limit ({}) exceeded", duration(*.0))]
    CompileTime(Duration),
    /// [`Limits::compile_memory`].
    #[error("compile memory limit ({}) exceeded", bytes(*.0))]
    CompileMemory(usize),
    /// [`Limits::memory`].
    #[error("memory limit ({}) exceeded", bytes(*.0))]
    Memory(usize),
    /// [`Limits::table`].
    #[error("table limit ({0} elements) exceeded")]
    Table(usize),
    /// [`Limits::log_lines`].
    #[error("log limit ({0} lines) exceeded")]
    LogLines(usize),
    /// [`Limits::log_bytes`].
    #[error("log limit ({}) exceeded", bytes(*.0))]
    LogBytes(usize),
    /// Open files, folders, streams and requests.
    #[error("more than {0} open files, folders, streams and requests at once; close those that are no longer needed")]
    Handles(usize),
    /// The files in a folder that a hook lists, and the folders that it lists at once.
    #[error("it listed a folder with more than {0} files, or more than {1} folders at once")]
    Entries(usize, usize),
}

impl LimitHit {
    /// The field of [`Limits`] that sets the limit, if it can be set.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Time(_) => Some("timeout"),
            Self::CompileTime(_) => Some("compile_timeout"),
            Self::CompileMemory(_) => Some("compile_memory"),
            Self::Memory(_) => Some("memory"),
            Self::Table(_) => Some("table"),
            Self::LogLines(_) => Some("log_lines"),
            Self::LogBytes(_) => Some("log_bytes"),
            Self::Handles(_) | Self::Entries(..) => None,
        }
    }
}

fn bytes(bytes: usize) -> String {
    ByteSize::b(bytes as u64).display().iec().to_string()
}

/// The log of one call of a hook, within its limits. Clones share the limits.
#[derive(Clone)]
pub(crate) struct HookLog {
    sink: Sink,
    lines: usize,
    bytes: usize,
    used: Arc<Mutex<Used>>,
}

#[derive(Default)]
struct Used {
    lines: usize,
    bytes: usize,
}

impl HookLog {
    pub(crate) fn new(sink: Sink, limits: &Limits) -> Self {
        Self { sink, lines: limits.log_lines, bytes: limits.log_bytes, used: Arc::default() }
    }

    /// Logs a line that the hook, or a program that it runs, wrote to standard output or standard error.
    pub(crate) fn output(&self, text: &str, open: bool) -> Result<(), LimitHit> {
        self.count(text)?;
        self.sink.emit(HookEvent::Output { text: text.to_owned(), open });
        Ok(())
    }

    /// Logs a message of the hook.
    pub(crate) fn log(&self, level: Level, text: &str) -> Result<(), LimitHit> {
        self.count(text)?;
        self.sink.emit(HookEvent::Log { level, text: text.to_owned() });
        Ok(())
    }

    /// Logs a command line that the hook asks to run.
    pub(crate) fn command(&self, line: &str) -> Result<(), LimitHit> {
        self.count(line)?;
        self.sink.emit(HookEvent::Command(line.to_owned()));
        Ok(())
    }

    /// Logs a note about something that the hook did.
    pub(crate) fn note(&self, text: &str) -> Result<(), LimitHit> {
        self.count(text)?;
        self.sink.emit(HookEvent::Note(text.to_owned()));
        Ok(())
    }

    /// Logs the use of a grant.
    pub(crate) fn used(&self, grant: &'static str, what: &str) -> Result<(), LimitHit> {
        self.count(what)?;
        self.sink.emit(HookEvent::GrantUsed { grant, what: what.to_owned() });
        Ok(())
    }

    /// Logs a refusal.
    pub(crate) fn denied(&self, grant: &'static str, message: &str) -> Result<(), LimitHit> {
        self.count(message)?;
        self.sink.emit(HookEvent::GrantRefused { grant, message: message.to_owned() });
        Ok(())
    }

    fn count(&self, text: &str) -> Result<(), LimitHit> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.lines = used.lines.saturating_add(text.split('\n').count());
        used.bytes = used.bytes.saturating_add(text.len());
        if used.lines > self.lines {
            return Err(LimitHit::LogLines(self.lines));
        }
        if used.bytes > self.bytes {
            return Err(LimitHit::LogBytes(self.bytes));
        }
        Ok(())
    }
}

/// Limits the memory and the tables of one call.
pub(crate) struct Meter {
    limits: Limits,
    memory: usize,
    table: usize,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, memory: 0, table: 0 }
    }
}

// An error ends the hook and names the limit. If growing only failed, the guest would report some other
// error instead.
impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory = self.memory.saturating_add(desired.saturating_sub(current));
        if self.memory > self.limits.memory {
            return Err(LimitHit::Memory(self.limits.memory).into());
        }
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.table = self.table.saturating_add(desired.saturating_sub(current));
        if self.table > self.limits.table {
            return Err(LimitHit::Table(self.limits.table).into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_INSTANCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::captured;

    #[test]
    fn the_log_is_limited_in_lines_and_in_bytes() {
        let limits = Limits { log_lines: 3, log_bytes: 100, ..Limits::default() };
        let (events, captured) = captured();
        let hook_log = HookLog::new(events, &limits);
        hook_log.output("one\ntwo", false).expect("there is room");
        hook_log.clone().output("three", false).expect("there is room");
        assert_eq!(hook_log.log(Level::Info, "four"), Err(LimitHit::LogLines(3)));
        let output = |text: &str| HookEvent::Output { text: text.to_owned(), open: false };
        assert_eq!(*captured.lock().expect("no panic"), [output("one\ntwo"), output("three")]);
        let hook_log = HookLog::new(Sink::new(|_| {}), &limits);
        assert_eq!(hook_log.output(&"x".repeat(101), false), Err(LimitHit::LogBytes(100)));
    }

    #[test]
    fn a_limit_names_its_field_if_it_can_be_raised() {
        assert_eq!(LimitHit::Memory(512 << 20).to_string(), "memory limit (512.0 MiB) exceeded");
        assert_eq!(LimitHit::Memory(1).field(), Some("memory"));
        assert_eq!(LimitHit::Handles(1).field(), None);
    }
}
