//! What a program writes, line by line.

use std::io::{self, PipeReader, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use memchr::{memchr, memchr2, memrchr};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How much is read at once, in bytes.
const BUFFER: usize = 1024 * 1024;

/// How often it is looked whether the program has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How long output of what a program left running is waited for after it has ended.
const PATIENCE: Duration = Duration::from_millis(500);

/// A line longer than this is handed over in pieces, in bytes: nothing that a program writes may fill the
/// memory.
const LONGEST: usize = 16 * 1024;

/// One or several lines that a program wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The lines, without the last line end.
    pub text: String,
    /// Whether the last line goes on.
    pub open: bool,
}

/// Reads lines on a thread of their own. A carriage return ends a line too: progress bars would
/// otherwise be one endless line. Of a progress bar only what stays on the screen is kept: a line
/// that tells a percentage and is written over is left out. Bytes that are no UTF-8 are replaced.
///
/// Ends when nobody can write any more, or soon after `ended` says that the program has ended: something that
/// it left running in the background may hold the pipe open for ever. Whatever the program itself wrote is
/// handed over, however late that is.
pub(super) fn read_lines(output: PipeReader, ended: Arc<AtomicBool>) -> mpsc::Receiver<Lines> {
    let (sender, receiver) = mpsc::sync_channel(64);
    // More room in the pipe means fewer waits; where there is none, it stays as it is.
    _ = rustix::pipe::fcntl_setpipe_size(&output, 1 << 20);
    thread::spawn(move || {
        let mut splitter = Splitter::default();
        let mut reader = Reader { output, ended, drain: None, buffer: vec![0; BUFFER] };
        while let Some(bytes) = reader.read() {
            splitter.take(bytes);
            if splitter.lines().is_some_and(|lines| sender.send(lines).is_err()) {
                return;
            }
        }
        // Whoever listened may have ended.
        _ = splitter.end().map(|lines| sender.send(lines));
    });
    receiver
}

/// Reads what a program writes until there is no more of it.
struct Reader {
    output: PipeReader,
    /// Whether the program has ended.
    ended: Arc<AtomicBool>,
    /// What is left to be read, once it has.
    drain: Option<Drain>,
    buffer: Vec<u8>,
}

/// What is left to be read of a program that has ended.
struct Drain {
    since: Instant,
    /// How much of what stood in the pipe when that was seen is still there, in bytes: all that the program
    /// wrote itself is among it.
    left: u64,
}

impl Reader {
    /// Some bytes; none at the end.
    fn read(&mut self) -> Option<&[u8]> {
        loop {
            let ready = self.wait();
            if self.drain.is_none() && self.ended.load(Ordering::Acquire) {
                let left = rustix::io::ioctl_fionread(&self.output).unwrap_or_default();
                self.drain = Some(Drain { since: Instant::now(), left });
            }
            if self.drain.as_ref().is_some_and(|drain| drain.left == 0 && drain.since.elapsed() > PATIENCE) {
                return None;
            }
            if !ready {
                continue;
            }
            match self.output.read(&mut self.buffer) {
                Ok(0) => return None,
                Ok(read) => {
                    if let Some(drain) = &mut self.drain {
                        drain.left = drain.left.saturating_sub(read as u64);
                    }
                    return Some(&self.buffer[..read]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Waits a moment for something to read, and says whether there is.
    fn wait(&self) -> bool {
        let moment = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
        let mut fds = [PollFd::new(&self.output, PollFlags::IN)];
        // Where it can't wait like this, reading waits.
        poll(&mut fds, Some(&moment)).map_or_else(|error| error != Errno::INTR, |ready| ready > 0)
    }
}

/// Makes lines of bytes.
#[derive(Default)]
struct Splitter {
    /// Whole lines, each with its end.
    whole: Vec<u8>,
    /// The beginning of a line.
    line: Vec<u8>,
    /// A carriage return came last: what it means is known with the next byte.
    returned: bool,
}

impl Splitter {
    fn take(&mut self, mut bytes: &[u8]) {
        if !self.returned && memchr(b'\r', bytes).is_none() {
            self.take_plain(bytes);
            return;
        }
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.returned) {
                if *first == b'\n' {
                    self.end_line();
                    bytes = &bytes[1..];
                    continue;
                }
                if self.line.contains(&b'%') {
                    self.line.clear();
                } else if *first != b'\r' {
                    self.end_line();
                }
            }
            let end = memchr2(b'\n', b'\r', bytes);
            self.line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            match end.map(|end| bytes[end]) {
                Some(b'\n') => self.end_line(),
                Some(_) => self.returned = true,
                None => return,
            }
            bytes = &bytes[end.map_or(bytes.len(), |end| end + 1)..];
        }
    }

    /// Takes bytes without carriage returns.
    fn take_plain(&mut self, bytes: &[u8]) {
        let end = memrchr(b'\n', bytes).map_or(0, |last| last + 1);
        if end > 0 {
            self.whole.append(&mut self.line);
            self.whole.extend_from_slice(&bytes[..end]);
        }
        self.line.extend_from_slice(&bytes[end..]);
    }

    fn end_line(&mut self) {
        self.whole.append(&mut self.line);
        self.whole.push(b'\n');
    }

    /// What is to be handed over: whole lines, or a piece of one that is too long.
    fn lines(&mut self) -> Option<Lines> {
        if self.line.len() < LONGEST {
            return lines(&mut self.whole, false);
        }
        self.whole.append(&mut self.line);
        // A character may have come only in part.
        let cut = self.whole.len() - incomplete(&self.whole);
        self.line = self.whole.split_off(cut);
        lines(&mut self.whole, true)
    }

    fn end(mut self) -> Option<Lines> {
        if !self.line.is_empty() {
            self.end_line();
        }
        lines(&mut self.whole, false)
    }
}

fn lines(bytes: &mut Vec<u8>, open: bool) -> Option<Lines> {
    if bytes.is_empty() {
        return None;
    }
    let text = String::from_utf8(std::mem::take(bytes));
    let mut text = text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    if !open && text.ends_with('\n') {
        text.pop();
    }
    Some(Lines { text, open })
}

/// How many bytes at the end begin a character whose rest is missing.
fn incomplete(bytes: &[u8]) -> usize {
    match std::str::from_utf8(&bytes[bytes.len().saturating_sub(4)..]) {
        Err(error) if error.error_len().is_none() => bytes.len().min(4) - error.valid_up_to(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of bytes that arrive in these pieces.
    fn split(pieces: &[&[u8]]) -> Vec<Lines> {
        let mut splitter = Splitter::default();
        let mut all = Vec::new();
        for piece in pieces {
            splitter.take(piece);
            all.extend(splitter.lines());
        }
        all.extend(splitter.end());
        all
    }

    fn whole(text: &str) -> Lines {
        Lines { text: text.to_owned(), open: false }
    }

    #[test]
    fn lines_are_handed_over_when_they_are_whole() {
        assert_eq!(
            split(&[b"one\ntw", b"o\nthree", b"\n\nfive"]),
            [whole("one"), whole("two"), whole("three\n"), whole("five")]
        );
    }

    #[test]
    fn of_a_progress_bar_what_stays_is_kept() {
        let expected = [whole("100%\ndone\ntwice\n\nafter an empty line")];
        let text = b"10%\r50%\r100%\r\ndone\rtwice\r\n\r\nafter an empty line\n";
        assert_eq!(split(&[text]), expected);
        let one_by_one: Vec<_> = text.chunks(1).collect();
        let joined: Vec<_> = split(&one_by_one).into_iter().map(|lines| lines.text).collect();
        assert_eq!(joined.join("\n"), expected[0].text);
    }

    #[test]
    fn a_line_without_an_end_is_handed_over_in_pieces_of_whole_characters() {
        let mut text = vec![b'x'; LONGEST - 1];
        text.extend("ä".as_bytes());
        let (first, second) = text.split_at(LONGEST);
        let lines = split(&[first, second, b"y\n"]);
        assert_eq!(lines[0], Lines { text: "x".repeat(LONGEST - 1), open: true });
        assert_eq!(lines[1], whole("äy"));
    }

    #[test]
    fn what_is_not_text_is_replaced() {
        assert_eq!(split(&[b"a\xffb\n"]), [whole("a\u{fffd}b")]);
    }
}
