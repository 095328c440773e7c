//! A command under way: following what it writes, until it ends or is ended.

use std::collections::VecDeque;
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::lines::Lines;
use super::{Command, CommandError, kill_tree};

/// How many of a command's last lines are kept for an error that quotes them.
const KEPT_LINES: usize = 20;

/// How often it is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The last lines that a command wrote.
#[derive(Debug, Default)]
pub struct LastLines(VecDeque<String>);

impl LastLines {
    /// Adds lines, and forgets those that are too old to be quoted.
    pub fn take(&mut self, lines: &Lines) {
        let new: Vec<_> = lines.text.rsplit('\n').take(KEPT_LINES).collect();
        self.0.extend(new.into_iter().rev().map(str::to_owned));
        let old = self.0.len().saturating_sub(KEPT_LINES);
        self.0.drain(..old);
    }
}

impl From<LastLines> for Vec<String> {
    fn from(lines: LastLines) -> Self {
        lines.0.into()
    }
}

/// A command under way. When it is dropped before its end, and was started in a process group of
/// its own, it is killed with all that it has started.
#[derive(Debug)]
pub struct Started {
    pub(super) command: Command,
    pub(super) child: Child,
    pub(super) lines: Receiver<Lines>,
    /// Tells what reads the lines that the process has ended.
    pub(super) ended: Arc<AtomicBool>,
    pub(super) in_group: bool,
    pub(super) is_over: bool,
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.in_group && !self.is_over {
            kill_tree(self.pid());
            _ = self.child.wait();
        }
    }
}

impl Started {
    /// The command.
    #[must_use]
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// The id of its process, and of its process group where it was started in one.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether its process has ended. What it wrote may still have to be streamed.
    ///
    /// # Errors
    /// When the system can't tell.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Hands what it has written or writes to `take`, whole lines at a time, and returns how it ended.
    ///
    /// # Errors
    /// When the system can't tell.
    pub fn stream(mut self, mut take: impl FnMut(Lines)) -> Result<ExitStatus, CommandError> {
        let status = self.stream_while(|lines| {
            take(lines);
            true
        })?;
        Ok(status.expect("it is streamed to its end"))
    }

    /// As [`Started::stream`], but only as long as `take` returns `true`; then the rest is still to
    /// be streamed, and there is no status yet.
    ///
    /// # Errors
    /// When the system can't tell.
    pub fn stream_while(&mut self, mut take: impl FnMut(Lines) -> bool) -> Result<Option<ExitStatus>, CommandError> {
        let wait_error = |source| CommandError::Start { command: self.command.to_string(), source };
        let mut looked = Instant::now();
        loop {
            match self.lines.recv_timeout(LOOK) {
                Ok(lines) => {
                    if !take(lines) {
                        return Ok(None);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            // Also when lines come without a pause: they may come from what it left running.
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let has_ended = self.child.try_wait().map_err(wait_error)?.is_some();
                self.ended.store(has_ended, Ordering::Release);
            }
        }
        let status = self.child.wait().map_err(wait_error)?;
        self.is_over = true;
        tracing::debug!(command = %self.command, %status, "ended");
        Ok(Some(status))
    }

    /// As [`Started::stream`], and takes any status but 0 for an error.
    ///
    /// # Errors
    /// When it fails.
    pub fn finish(self, mut take: impl FnMut(Lines)) -> Result<(), CommandError> {
        let command = self.command.clone();
        let mut last_lines = LastLines::default();
        let status = self.stream(|lines| {
            last_lines.take(&lines);
            take(lines);
        })?;
        command.result(status, last_lines)
    }
}
