//! Writes the standard output and standard error of a hook to the log, line by line.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::limits::{HookLog, LimitHit};

/// How many of the last lines are kept, to show with a trap: they contain the message of a panic.
const KEPT_LINES: usize = 20;
/// Lines longer than this many bytes are split.
const MAX_LINE: usize = 16 * 1024;

/// A stream that logs each line as soon as it is complete.
#[derive(Clone)]
pub(crate) struct Lines {
    state: Arc<Mutex<State>>,
}

struct State {
    log: HookLog,
    line: Vec<u8>,
    last: VecDeque<String>,
}

impl Lines {
    pub(crate) fn new(log: HookLog) -> Self {
        Self { state: Arc::new(Mutex::new(State { log, line: Vec::new(), last: VecDeque::new() })) }
    }

    fn write_bytes(&self, bytes: &[u8]) -> Result<(), LimitHit> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            state.line.extend_from_slice(part);
            if part.ends_with(b"\n") || state.line.len() >= MAX_LINE {
                state.end_line()?;
            }
        }
        Ok(())
    }

    /// Logs a last line without a line ending, and returns the last lines that are not empty.
    pub(crate) fn finish(&self) -> Vec<String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.line.is_empty() {
            // The hook has ended, so a limit no longer matters.
            _ = state.end_line();
        }
        state.last.iter().cloned().collect()
    }
}

impl State {
    fn end_line(&mut self) -> Result<(), LimitHit> {
        let text = String::from_utf8_lossy(&self.line).trim_end_matches(['\n', '\r']).to_owned();
        let logged = self.log.output(&text, false);
        if !text.is_empty() {
            if self.last.len() == KEPT_LINES {
                self.last.pop_front();
            }
            self.last.push_back(text);
        }
        self.line.clear();
        logged
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    // The default adds a buffer and a task, which would delay lines.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_bytes(&bytes).map_err(|hit| StreamError::Trap(hit.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.write_bytes(bytes).map(|()| bytes.len()).map_err(std::io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::HookEvent;
    use crate::event::tests::captured;
    use crate::limits::Limits;

    #[test]
    fn complete_lines_are_logged_at_once_and_the_last_ones_are_kept() {
        let (events, captured) = captured();
        let lines = Lines::new(HookLog::new(events, &Limits::default()));
        let output = |text: &str| HookEvent::Output { text: text.to_owned(), open: false };
        lines.write_bytes(b"one\ntw").expect("there is room");
        assert_eq!(*captured.lock().expect("no panic"), [output("one")]);
        lines.write_bytes(b"o\nthree").expect("there is room");
        assert_eq!(lines.finish(), ["one", "two", "three"]);
        assert_eq!(*captured.lock().expect("no panic"), [output("one"), output("two"), output("three")]);
    }
}
