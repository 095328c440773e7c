//! The output of a program, as lines.

use std::io::PipeReader;
use std::mem;
use std::time::{Duration, Instant};

use memchr::{memchr, memrchr};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The size of one read, in bytes.
const READ_SIZE: usize = 256 * 1024;

/// The size of the pipe, in bytes, where the system allows it. A larger pipe means fewer waits.
const PIPE_SIZE: usize = 1024 * 1024;

/// How long to wait for output after the program has ended, if a process that it left running holds the pipe open.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// A line longer than this, in bytes, is split into pieces, so that no line fills the memory.
const MAX_LINE: usize = 16 * 1024;

/// One or more lines of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The lines, without the last line ending.
    pub text: String,
    /// Whether the last line continues in the next output.
    pub open: bool,
}

/// The result of one read.
pub(super) enum Read {
    /// Some lines.
    Lines(Lines),
    /// Nothing, yet.
    Nothing,
    /// The end of the output.
    End,
}

/// Reads lines from a pipe that a program writes to. A carriage return also ends a line, because otherwise a progress
/// bar would be one endless line. A line that contains a percentage and is overwritten is dropped, so that only the
/// last state of a progress bar is kept. Bytes that are not UTF-8 are replaced.
#[derive(Debug)]
pub(super) struct LineReader {
    output: PipeReader,
    splitter: Splitter,
    /// What is left to read after the program has ended.
    drain: Option<Drain>,
}

/// What is left to read after the program has ended.
#[derive(Debug)]
struct Drain {
    since: Instant,
    /// How many of the bytes that were in the pipe at that time are still unread. They include everything that the
    /// program itself wrote.
    left: u64,
}

impl LineReader {
    pub(super) fn new(output: PipeReader) -> Self {
        // If the system refuses, the pipe keeps its size.
        _ = rustix::pipe::fcntl_setpipe_size(&output, PIPE_SIZE);
        Self { output, splitter: Splitter::default(), drain: None }
    }

    /// Records that the program has ended. The output ends when all writers have closed the pipe, or soon after this: a
    /// process that the program left in the background may keep the pipe open forever. Everything that the program
    /// itself wrote is read, however late that is.
    pub(super) fn program_ended(&mut self) {
        if self.drain.is_none() {
            let left = rustix::io::ioctl_fionread(&self.output).unwrap_or_default();
            self.drain = Some(Drain { since: Instant::now(), left });
        }
    }

    /// Waits at most `time` for output, and reads it.
    pub(super) fn read(&mut self, time: Duration) -> Read {
        if self.drain.as_ref().is_some_and(|drain| drain.left == 0 && drain.since.elapsed() > DRAIN_TIMEOUT) {
            return self.end();
        }
        if !self.is_ready(time) {
            return Read::Nothing;
        }
        let mut bytes = mem::take(&mut self.splitter.line);
        let new = bytes.len();
        bytes.reserve(READ_SIZE);
        let read = rustix::io::read(&self.output, spare_capacity(&mut bytes));
        if let (Ok(read), Some(drain)) = (read, &mut self.drain) {
            drain.left = drain.left.saturating_sub(read as u64);
        }
        let lines = self.splitter.split(bytes, new);
        match (read, lines) {
            (Ok(0), _) => self.end(),
            (_, Some(lines)) => Read::Lines(lines),
            (Ok(_) | Err(Errno::INTR), None) => Read::Nothing,
            (Err(_), None) => self.end(),
        }
    }

    fn end(&mut self) -> Read {
        mem::take(&mut self.splitter).end().map_or(Read::End, Read::Lines)
    }

    fn is_ready(&self, time: Duration) -> bool {
        let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.output, PollFlags::IN)];
        // If waiting fails, reading waits.
        poll(&mut fds, Some(&time)).map_or_else(|error| error != Errno::INTR, |ready| ready > 0)
    }
}

/// Splits bytes into lines.
#[derive(Debug, Default)]
struct Splitter {
    /// The beginning of a line.
    line: Vec<u8>,
    /// The last byte was a carriage return; the next byte says what it means.
    returned: bool,
}

impl Splitter {
    /// Splits bytes of which all from `new` on are new: whole lines, or a piece of one that is too long.
    fn split(&mut self, mut bytes: Vec<u8>, new: usize) -> Option<Lines> {
        let whole = if !self.returned && memchr(b'\r', &bytes[new..]).is_none() {
            let end = memrchr(b'\n', &bytes[new..]).map_or(0, |last| new + last + 1);
            self.line = bytes.split_off(end);
            bytes
        } else {
            let added = bytes.split_off(new);
            self.line = bytes;
            self.split_at_returns(&added)
        };
        if self.line.len() < MAX_LINE {
            return lines(whole, false);
        }
        let mut piece = whole;
        piece.append(&mut self.line);
        // The last character may be incomplete.
        self.line = piece.split_off(piece.len() - incomplete(&piece));
        lines(piece, true)
    }

    /// Whole lines, where a carriage return may end one too.
    fn split_at_returns(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        let mut end_line = |line: &mut Vec<u8>| {
            whole.append(line);
            whole.push(b'\n');
        };
        for byte in bytes {
            if mem::take(&mut self.returned) {
                if *byte == b'\n' {
                    end_line(&mut self.line);
                    continue;
                }
                if self.line.contains(&b'%') {
                    self.line.clear();
                } else if *byte != b'\r' {
                    end_line(&mut self.line);
                }
            }
            match byte {
                b'\n' => end_line(&mut self.line),
                b'\r' => self.returned = true,
                byte => self.line.push(*byte),
            }
        }
        whole
    }

    /// The line that has no end.
    fn end(self) -> Option<Lines> {
        lines(self.line, false)
    }
}

fn lines(bytes: Vec<u8>, open: bool) -> Option<Lines> {
    if bytes.is_empty() {
        return None;
    }
    let text = String::from_utf8(bytes);
    let mut text = text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    if !open && text.ends_with('\n') {
        text.pop();
    }
    Some(Lines { text, open })
}

/// How many bytes at the end are the beginning of a character.
fn incomplete(bytes: &[u8]) -> usize {
    match std::str::from_utf8(&bytes[bytes.len().saturating_sub(4)..]) {
        Err(error) if error.error_len().is_none() => bytes.len().min(4) - error.valid_up_to(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines from bytes that arrive in these pieces.
    fn split(pieces: &[&[u8]]) -> Vec<Lines> {
        let mut splitter = Splitter::default();
        let mut all = Vec::new();
        for piece in pieces {
            let mut bytes = mem::take(&mut splitter.line);
            let new = bytes.len();
            bytes.extend_from_slice(piece);
            all.extend(splitter.split(bytes, new));
        }
        all.extend(splitter.end());
        all
    }

    fn whole(text: &str) -> Lines {
        Lines { text: text.to_owned(), open: false }
    }

    #[test]
    fn lines_are_passed_on_when_they_are_complete() {
        assert_eq!(
            split(&[b"one\ntw", b"o\nthree", b"\n\nfive"]),
            [whole("one"), whole("two"), whole("three\n"), whole("five")]
        );
    }

    #[test]
    fn only_the_last_state_of_a_progress_bar_is_kept() {
        let expected = [whole("100%\ndone\ntwice\n\nafter an empty line")];
        let text = b"10%\r50%\r100%\r\ndone\rtwice\r\n\r\nafter an empty line\n";
        assert_eq!(split(&[text]), expected);
        let one_by_one: Vec<_> = text.chunks(1).collect();
        let joined: Vec<_> = split(&one_by_one).into_iter().map(|lines| lines.text).collect();
        assert_eq!(joined.join("\n"), expected[0].text);
    }

    #[test]
    fn a_long_line_is_passed_on_in_pieces_of_whole_characters() {
        let mut text = vec![b'x'; MAX_LINE - 1];
        text.extend("ä".as_bytes());
        let (first, second) = text.split_at(MAX_LINE);
        let lines = split(&[first, second, b"y\n"]);
        assert_eq!(lines[0], Lines { text: "x".repeat(MAX_LINE - 1), open: true });
        assert_eq!(lines[1], whole("äy"));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        assert_eq!(split(&[b"a\xffb\n"]), [whole("a\u{fffd}b")]);
    }
}
