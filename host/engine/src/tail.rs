//! Shows the end of a log and follows it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use gatling_text::escape;

/// How much is read at once, in bytes.
const BLOCK: usize = 64 * 1024;

/// How the log is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Unchanged.
    Raw,
    /// Without control sequences for a terminal.
    Plain,
}

/// Follows a log across its rotation: if the file at the path is replaced or becomes shorter, it is read from its
/// start.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    show: Show,
    current: Option<OpenLog>,
    /// The file that was at the path before. The app writes to it until it opens the new one.
    rotated: Option<OpenLog>,
}

impl Tail {
    /// Opens the log at its last `lines` lines.
    ///
    /// # Errors
    /// If it cannot be read. A missing log is not an error: see [`Tail::exists`].
    pub fn open(path: &Path, lines: usize, show: Show) -> io::Result<Self> {
        let mut current = OpenLog::open(path)?;
        if let Some(followed) = &mut current {
            followed.position = start_of_last_lines(&followed.file, lines)?;
        }
        Ok(Self { path: path.to_owned(), show, current, rotated: None })
    }

    /// Whether the log exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.current.is_some()
    }

    /// Copies new lines to `out`. Returns whether there were any. An incomplete line is held back.
    ///
    /// # Errors
    /// If the log cannot be read, or `out` cannot be written to.
    pub fn copy_new(&mut self, out: &mut impl Write) -> io::Result<bool> {
        // The new file is opened first: everything that was written before the rotation is then in the old one.
        let next = OpenLog::open(&self.path)?;
        let mut any = false;
        for followed in self.rotated.iter_mut().chain(&mut self.current) {
            any |= followed.copy(self.show, out)?;
        }
        if let Some(next) = next
            && self.current.as_ref().is_none_or(|current| current.id != next.id)
        {
            if let Some(rotated) = &mut self.rotated {
                rotated.flush(self.show, out)?;
            }
            self.rotated = self.current.replace(next);
            any = true;
        }
        out.flush()?;
        Ok(any)
    }

    /// Writes the incomplete line that was held back.
    ///
    /// # Errors
    /// If `out` cannot be written to.
    pub fn flush(&mut self, out: &mut impl Write) -> io::Result<()> {
        for followed in self.rotated.iter_mut().chain(&mut self.current) {
            followed.flush(self.show, out)?;
        }
        out.flush()
    }
}

#[derive(Debug)]
struct OpenLog {
    file: File,
    id: (u64, u64),
    position: u64,
    /// The part of an incomplete line that was read.
    rest: Vec<u8>,
}

impl OpenLog {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        // Opening a FIFO must not block.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(Some(Self { file, id: (metadata.dev(), metadata.ino()), position: 0, rest: Vec::new() }))
    }

    /// Copies everything after the position.
    fn copy(&mut self, show: Show, out: &mut impl Write) -> io::Result<bool> {
        if self.file.metadata()?.len() < self.position {
            self.flush(show, out)?;
            self.position = 0;
        }
        self.file.seek(SeekFrom::Start(self.position))?;
        let mut any = false;
        let mut block = vec![0; BLOCK];
        loop {
            let read = self.file.read(&mut block)?;
            if read == 0 {
                return Ok(any);
            }
            any = true;
            self.position += read as u64;
            self.rest.extend_from_slice(&block[..read]);
            let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            // A very long line is shown in pieces.
            self.write(if whole == 0 && self.rest.len() >= BLOCK { self.rest.len() } else { whole }, show, out)?;
        }
    }

    fn flush(&mut self, show: Show, out: &mut impl Write) -> io::Result<()> {
        self.write(self.rest.len(), show, out)
    }

    fn write(&mut self, length: usize, show: Show, out: &mut impl Write) -> io::Result<()> {
        let bytes: Vec<u8> = self.rest.drain(..length).collect();
        match show {
            Show::Raw => out.write_all(&bytes),
            Show::Plain => out.write_all(escape(&String::from_utf8_lossy(&bytes)).as_bytes()),
        }
    }
}

/// The position where the last `lines` lines begin. A last line without a line end counts.
fn start_of_last_lines(file: &File, lines: usize) -> io::Result<u64> {
    let length = file.metadata()?.len();
    if lines == 0 {
        return Ok(length);
    }
    let (mut end, mut missing) = (length, lines);
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let block = &mut block[..usize::try_from(end - start).unwrap_or(BLOCK)];
        file.read_exact_at(block, start)?;
        for (index, _) in block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let next = start + index as u64 + 1;
            // No line begins after the end of the last line.
            if next < length {
                missing -= 1;
                if missing == 0 {
                    return Ok(next);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn log(text: &str) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.log");
        fs::write(&path, text).expect("it is written");
        (folder, path)
    }

    fn append(path: &Path, text: &str) {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("it is written");
    }

    fn new(tail: &mut Tail) -> String {
        let mut out = Vec::new();
        tail.copy_new(&mut out).expect("it can be read");
        String::from_utf8(out).expect("text")
    }

    /// The output for a log that is not followed.
    fn end(path: &Path, lines: usize) -> String {
        let mut out = Vec::new();
        let mut tail = Tail::open(path, lines, Show::Raw).expect("it opens");
        tail.copy_new(&mut out).and_then(|_| tail.flush(&mut out)).expect("it can be read");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_requested_number_of_last_lines_is_shown() {
        let (_folder, path) = log("one\ntwo\n\nfour\n");
        for (lines, text) in [(0, ""), (1, "four\n"), (2, "\nfour\n"), (3, "two\n\nfour\n"), (4, "one\ntwo\n\nfour\n")]
        {
            assert_eq!(end(&path, lines), text, "{lines} lines");
        }
        assert_eq!(end(&path, usize::MAX), "one\ntwo\n\nfour\n");
        append(&path, "five");
        assert_eq!(end(&path, 2), "four\nfive");
        fs::write(&path, "").expect("it is written");
        assert_eq!(end(&path, 100), "");
    }

    #[test]
    fn the_last_lines_of_a_log_longer_than_a_block_are_found() {
        let line = "x".repeat(1000);
        let text: String = (0..500).map(|number| format!("{number} {line}\n")).collect();
        let (_folder, path) = log(&text);
        for lines in [1, 64, 65, 66, 200, 499] {
            let end = end(&path, lines);
            assert_eq!(end.lines().count(), lines);
            assert!(text.ends_with(&end));
        }
        let long = "y".repeat(3 * BLOCK);
        append(&path, &long);
        assert_eq!(end(&path, 1), long);
    }

    #[test]
    fn new_text_is_shown_in_complete_lines() {
        let (_folder, path) = log("one\n");
        let mut tail = Tail::open(&path, 100, Show::Raw).expect("it opens");
        assert_eq!(new(&mut tail), "one\n");
        append(&path, "tw");
        assert_eq!(new(&mut tail), "");
        append(&path, "o\nthr");
        assert_eq!(new(&mut tail), "two\n");
        let mut out = Vec::new();
        tail.flush(&mut out).expect("it is written");
        assert_eq!(out, b"thr");
    }

    #[test]
    fn a_truncated_log_is_read_from_its_start() {
        let (_folder, path) = log("one\ntwo\n");
        let mut tail = Tail::open(&path, 100, Show::Raw).expect("it opens");
        assert_eq!(new(&mut tail), "one\ntwo\n");
        fs::write(&path, "3\n").expect("it is written");
        assert_eq!(new(&mut tail), "3\n");
    }

    #[test]
    fn a_replaced_log_is_read_to_its_end_before_the_new_one() {
        let (folder, path) = log("one\n");
        let mut tail = Tail::open(&path, 100, Show::Raw).expect("it opens");
        let mut seen = new(&mut tail);
        let old = folder.path().join("app.log.1");
        append(&path, "two\n");
        fs::rename(&path, &old).expect("it is renamed");
        seen += &new(&mut tail);
        append(&old, "three\n");
        seen += &new(&mut tail);
        append(&path, "four\n");
        append(&old, "still open\n");
        seen += &(new(&mut tail) + &new(&mut tail));
        append(&old, "and open\n");
        append(&path, "five\n");
        seen += &new(&mut tail);
        assert_eq!(seen, "one\ntwo\nthree\nstill open\nfour\nand open\nfive\n");
    }

    #[test]
    fn a_log_that_is_created_later_is_read_from_its_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.log");
        let mut tail = Tail::open(&path, 100, Show::Raw).expect("it need not exist");
        assert!(!tail.exists());
        assert_eq!(new(&mut tail), "");
        append(&path, "one\n");
        assert_eq!(new(&mut tail) + &new(&mut tail), "one\n");
    }

    #[test]
    fn a_terminal_gets_no_control_sequences() {
        let (_folder, path) = log("");
        fs::write(&path, b"\x1b[31mred\x1b[0m\t\xffu\xcc\x88\x1b[2J\x9b\nbell\x07").expect("it is written");
        let mut out = Vec::new();
        let mut tail = Tail::open(&path, 100, Show::Plain).expect("it opens");
        tail.copy_new(&mut out).and_then(|_| tail.flush(&mut out)).expect("it can be read");
        assert_eq!(String::from_utf8(out).expect("text"), "red\t\u{fffd}u\u{308}\\u{1b}[2J\u{fffd}\nbell\\u{7}");
    }

    #[test]
    fn a_very_long_line_is_not_held_in_memory() {
        let (_folder, path) = log(&"x".repeat(10 * BLOCK));
        let mut tail = Tail::open(&path, 100, Show::Raw).expect("it opens");
        assert_eq!(new(&mut tail).len(), 10 * BLOCK);
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("app.log");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .expect("a FIFO");
        let error = Tail::open(&fifo, 100, Show::Raw).expect_err("it is a FIFO");
        assert!(error.to_string().contains("regular file"), "{error}");
    }
}
