//! What a program writes, line by line.

use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::sync::mpsc;
use std::thread;

use memchr::{memchr, memchr2, memrchr};

/// How much is read at once, in bytes.
const BUFFER: usize = 64 * 1024;

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
pub(super) fn read_lines(output: PipeReader) -> mpsc::Receiver<Lines> {
    let (sender, receiver) = mpsc::sync_channel(64);
    // More room in the pipe means fewer waits; where there is none, it stays as it is.
    _ = rustix::pipe::fcntl_setpipe_size(&output, 1 << 20);
    thread::spawn(move || {
        let mut reader = BufReader::with_capacity(BUFFER, output);
        let mut splitter = Splitter::default();
        loop {
            let read = match reader.fill_buf() {
                Ok([]) => break,
                Ok(bytes) => {
                    splitter.take(bytes);
                    bytes.len()
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            reader.consume(read);
            if splitter.lines().is_some_and(|lines| sender.send(lines).is_err()) {
                return;
            }
        }
        // Whoever listened may have ended.
        _ = splitter.end().map(|lines| sender.send(lines));
    });
    receiver
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
