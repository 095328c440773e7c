//! A running command: follows its output until it ends or is killed.

use std::collections::VecDeque;
use std::io;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::lines::{LineReader, Lines, Read};
use super::{Command, CommandError, kill_tree};

/// How many of the last lines are kept, to quote them in an error.
const KEPT_LINES: usize = 20;

/// How often to check whether the program has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The last lines of a command's output.
#[derive(Debug, Default)]
pub struct LastLines(VecDeque<String>);

impl LastLines {
    /// Adds lines, and drops the oldest.
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

/// A running command. If it was started in a process group, dropping it before its end kills it with all
/// processes that it has started.
#[derive(Debug)]
pub struct Started {
    pub(super) command: Command,
    pub(super) child: Child,
    pub(super) output: LineReader,
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

    /// The id of its process, and of its process group if it was started in one.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether its process has ended. There may still be output to stream.
    ///
    /// # Errors
    /// When the system call fails.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Passes its output to `on_lines` until it ends, and returns its exit status.
    ///
    /// # Errors
    /// When the system call fails.
    pub fn stream(mut self, mut on_lines: impl FnMut(Lines)) -> Result<ExitStatus, CommandError> {
        let status = self.stream_while(|lines| {
            on_lines(lines);
            true
        })?;
        Ok(status.expect("it is streamed to its end"))
    }

    /// As [`Started::stream`], but returns `None` as soon as `on_lines` returns `false`. The rest of the output can
    /// be streamed later.
    ///
    /// # Errors
    /// When the system call fails.
    pub fn stream_while(
        &mut self,
        mut on_lines: impl FnMut(Lines) -> bool,
    ) -> Result<Option<ExitStatus>, CommandError> {
        let wait_error = |source| CommandError::Start { command: self.command.to_string(), source };
        let mut last_check = Instant::now();
        loop {
            match self.output.read(POLL_INTERVAL) {
                Read::Lines(lines) => {
                    if !on_lines(lines) {
                        return Ok(None);
                    }
                }
                Read::Nothing => {}
                Read::End => break,
            }
            // Also while lines arrive: they may come from a process that the program left running.
            if last_check.elapsed() >= POLL_INTERVAL {
                last_check = Instant::now();
                if self.child.try_wait().map_err(wait_error)?.is_some() {
                    self.output.program_ended();
                }
            }
        }
        let status = self.child.wait().map_err(wait_error)?;
        self.is_over = true;
        tracing::debug!(command = %self.command, %status, "ended");
        Ok(Some(status))
    }

    /// As [`Started::stream`]. A status other than 0 is an error.
    ///
    /// # Errors
    /// When it fails.
    pub fn finish(self, mut on_lines: impl FnMut(Lines)) -> Result<(), CommandError> {
        let command = self.command.clone();
        let mut last_lines = LastLines::default();
        let status = self.stream(|lines| {
            last_lines.take(&lines);
            on_lines(lines);
        })?;
        command.result(status, last_lines)
    }
}
