//! How much a hook may use of the server: time, memory, and room in the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytesize::ByteSize;
use wasmtime::ResourceLimiter;

use gatling_config::settings::HookSettings;
use gatling_report::duration;
use gatling_runs::{Event, Events, Level};

/// How many instances of core modules a component may have: those that toolchains make have some
/// dozens.
pub(super) const MOST_INSTANCES: usize = 200;

/// The limits of one call of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Wall-clock time, with all that the hook waits for.
    pub(super) timeout: Duration,
    /// Linear memory, in bytes.
    pub(super) memory: usize,
    /// Elements of tables.
    pub(super) table: usize,
    /// Lines in the log.
    pub(super) log_lines: usize,
    /// Bytes in the log.
    pub(super) log_bytes: usize,
    /// Bytes of a program's output that are returned to the hook.
    pub(super) output: usize,
    /// Bytes of an error's text.
    pub(super) error: usize,
    /// Wall-clock time of compiling the hooks file.
    pub(super) compile_timeout: Duration,
    /// Memory of compiling it, in bytes.
    pub(super) compile_memory: usize,
}

impl Limits {
    /// What the project set, or the default, within what the operator allows.
    pub(super) fn of<P, O>(project: &HookSettings<P>, operator: &HookSettings<O>) -> Self {
        fn least<T: Ord>(set: Option<T>, cap: Option<T>, default: T) -> T {
            let wanted = set.unwrap_or(default);
            match cap {
                Some(cap) => wanted.min(cap),
                None => wanted,
            }
        }
        let bytes = |set: Option<ByteSize>, cap: Option<ByteSize>, default: ByteSize| {
            usize::try_from(least(set, cap, default).as_u64()).unwrap_or(usize::MAX)
        };
        Self {
            timeout: least(project.timeout, operator.timeout, Duration::from_secs(300)),
            memory: bytes(project.memory, operator.memory, ByteSize::mib(512)),
            table: least(project.table, operator.table, 100_000),
            log_lines: least(project.log_lines, operator.log_lines, 10_000),
            log_bytes: bytes(project.log_bytes, operator.log_bytes, ByteSize::mib(4)),
            output: bytes(project.output, operator.output, ByteSize::mib(4)),
            error: bytes(project.error, operator.error, ByteSize::kib(8)),
            compile_timeout: least(project.compile_timeout, operator.compile_timeout, Duration::from_secs(300)),
            compile_memory: bytes(project.compile_memory, operator.compile_memory, ByteSize::gib(2)),
        }
    }
}

/// A limit that was hit: what it is, and how it is raised.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum LimitHit {
    #[error("it took longer than {}, and was stopped: raise `hooks.timeout` in gatling.toml, as far as the operator's file allows", duration(*.0))]
    Time(Duration),
    #[error("compiling it took longer than {}, and was stopped: raise `hooks.compile_timeout` in gatling.toml, as far as the operator's file allows", duration(*.0))]
    CompileTime(Duration),
    #[error("compiling it took more than {} of memory: raise `hooks.compile_memory` in gatling.toml, as far as the operator's file allows", ByteSize::b(*.0 as u64).display().iec())]
    CompileMemory(usize),
    #[error("it asked for more than {} of memory: raise `hooks.memory` in gatling.toml, as far as the operator's file allows", ByteSize::b(*.0 as u64).display().iec())]
    Memory(usize),
    #[error(
        "it asked for a table of more than {0} elements: raise `hooks.table` in gatling.toml, as far as the operator's file allows"
    )]
    Table(usize),
    #[error(
        "it held more than {0} things open at once: files, folders, streams or requests; close what is no longer needed"
    )]
    Handles(usize),
    #[error("it has more than {0} instances, memories or tables of core modules")]
    Instances(usize),
    #[error("it looked into a folder with more than {0} files, or into too many folders at once")]
    Entries(usize),
    #[error("it handed over more than {} at once, in a text or a list", ByteSize::b(*.0 as u64).display().iec())]
    Handover(usize),
    #[error(
        "it wrote more than {0} lines to the log: raise `hooks.log_lines` in gatling.toml, as far as the operator's file allows"
    )]
    LogLines(usize),
    #[error("it wrote more than {} to the log: raise `hooks.log_bytes` in gatling.toml, as far as the operator's file allows", ByteSize::b(*.0 as u64).display().iec())]
    LogBytes(usize),
}

/// The journal, as far as a hook's share of it goes. Clones draw on the same share.
#[derive(Clone)]
pub(super) struct HookLog {
    events: Events,
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
    pub(super) fn new(events: Events, limits: &Limits) -> Self {
        Self { events, lines: limits.log_lines, bytes: limits.log_bytes, used: Arc::default() }
    }

    /// What the hook, or a program that it runs, writes to its standard output or error.
    pub(super) fn output(&self, text: &str, open: bool) -> Result<(), LimitHit> {
        self.take(text)?;
        self.events.emit(Event::Output { text: text.to_owned(), open });
        Ok(())
    }

    /// What the hook writes to the log.
    pub(super) fn log(&self, level: Level, text: &str) -> Result<(), LimitHit> {
        self.take(text)?;
        self.events.emit(Event::Log { level, text: text.to_owned() });
        Ok(())
    }

    /// A program that the hook wants to run.
    pub(super) fn command(&self, line: &str) -> Result<(), LimitHit> {
        self.take(line)?;
        self.events.emit(Event::Command { line: line.to_owned(), quiet: false });
        Ok(())
    }

    /// What is to be said of something that the hook did.
    pub(super) fn note(&self, text: &str) -> Result<(), LimitHit> {
        self.take(text)?;
        self.events.note(text);
        Ok(())
    }

    /// What the hook uses one of its grants for.
    pub(super) fn used(&self, grant: &str, what: &str) -> Result<(), LimitHit> {
        self.take(what)?;
        self.events.emit(Event::GrantUsed { grant: grant.to_owned(), what: what.to_owned() });
        Ok(())
    }

    /// What the hook may not do.
    pub(super) fn denied(&self, grant: &str, message: &str) -> Result<(), LimitHit> {
        self.take(message)?;
        self.events.emit(Event::GrantRefused { grant: grant.to_owned(), message: message.to_owned() });
        Ok(())
    }

    fn take(&self, text: &str) -> Result<(), LimitHit> {
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

/// Watches over the memory and the tables of one call.
pub(super) struct Meter {
    limits: Limits,
    memory: usize,
    table: usize,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, memory: 0, table: 0 }
    }
}

// An error ends the hook with a reason. A refusal would leave the guest to say that something
// or other failed.
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
        MOST_INSTANCES
    }

    fn tables(&self) -> usize {
        MOST_INSTANCES
    }

    fn memories(&self) -> usize {
        MOST_INSTANCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::captured;

    #[test]
    fn a_limit_is_the_projects_or_the_default_but_never_more_than_the_operators() {
        let set =
            |seconds| HookSettings::<()> { timeout: Some(Duration::from_secs(seconds)), ..HookSettings::default() };
        let none = HookSettings::<()>::default();
        for (project, operator, seconds) in [
            (&none, &none, 300),
            (&set(600), &none, 600),
            (&set(600), &set(60), 60),
            (&none, &set(60), 60),
            (&set(5), &set(60), 5),
        ] {
            assert_eq!(Limits::of(project, operator).timeout, Duration::from_secs(seconds));
        }
    }

    #[test]
    fn the_log_has_room_for_so_many_lines_and_so_many_bytes() {
        let none = HookSettings::<()>::default();
        let limits = Limits { log_lines: 3, log_bytes: 100, ..Limits::of(&none, &none) };
        let (events, captured) = captured();
        let hook_log = HookLog::new(events, &limits);
        hook_log.output("one\ntwo", false).expect("there is room");
        hook_log.clone().output("three", false).expect("there is room");
        assert_eq!(hook_log.log(Level::Info, "four"), Err(LimitHit::LogLines(3)));
        let output = |text: &str| Event::Output { text: text.to_owned(), open: false };
        assert_eq!(captured.events(), [output("one\ntwo"), output("three")]);
        let hook_log = HookLog::new(Events::none(), &limits);
        assert_eq!(hook_log.output(&"x".repeat(101), false), Err(LimitHit::LogBytes(100)));
    }
}
