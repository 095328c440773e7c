//! Reads journals, including those that are still being written, were damaged by a crash, or are not journals at all.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::event::{Entry, FORMAT};

/// The maximum length of a line, in bytes. A longer one is not read into memory.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// Why a journal, or a line of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It does not exist.
    #[error("the journal {} does not exist", .0.display())]
    Missing(PathBuf),
    /// Reading failed.
    #[error("cannot read the journal {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A newer Gatling wrote it.
    #[error("this journal has a newer format ({0}; this version of gatling reads {FORMAT} and older): upgrade gatling")]
    Newer(u32),
    /// The line is not a journal entry: a crash damaged it, or another program wrote it.
    #[error("line {line} is damaged")]
    Damaged {
        /// The number of the line.
        line: usize,
    },
}

/// Reads the entries of a journal in order. A last line without a line end is not an entry yet.
pub struct Reader {
    path: PathBuf,
    input: BufReader<File>,
    /// The current line, as far as it was read.
    buffer: Vec<u8>,
    line: usize,
    /// Whether the current line is too long.
    too_long: bool,
}

impl Reader {
    /// Opens a journal.
    ///
    /// # Errors
    /// If it does not exist, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let file = File::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => JournalError::Missing(path.to_owned()),
            _ => JournalError::Io { path: path.to_owned(), source },
        })?;
        let input = BufReader::with_capacity(64 * 1024, file);
        Ok(Self { path: path.to_owned(), input, buffer: Vec::new(), line: 0, too_long: false })
    }

    /// Whether the run is in progress: its process holds a lock on the journal.
    #[must_use]
    pub fn is_being_written(&self) -> bool {
        let file = self.input.get_ref();
        match file.try_lock_shared() {
            Ok(()) => {
                // An error cannot be handled here, and the lock ends with the file.
                _ = file.unlock();
                false
            }
            Err(_) => true,
        }
    }

    /// Reads the rest of the current line. Returns false if it has no line end yet.
    fn read_line(&mut self) -> io::Result<bool> {
        loop {
            let room = (MAX_LINE + 1).saturating_sub(self.buffer.len() as u64);
            let read = self.input.by_ref().take(room).read_until(b'\n', &mut self.buffer)?;
            if self.buffer.ends_with(b"\n") {
                return Ok(true);
            }
            if read == 0 {
                return Ok(false);
            }
            if self.buffer.len() as u64 > MAX_LINE {
                self.too_long = true;
                self.buffer.clear();
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, JournalError>;

    /// The next complete entry. After `None`, there can be more entries when more has been written.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read_line() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(source) => return Some(Err(JournalError::Io { path: self.path.clone(), source })),
            }
            self.line += 1;
            let line = std::mem::take(&mut self.buffer);
            if std::mem::take(&mut self.too_long) {
                return Some(Err(JournalError::Damaged { line: self.line }));
            }
            // After a failed write, the writer ends the line that it may have begun.
            if line != b"\n" {
                return Some(parse(&line, self.line));
            }
        }
    }
}

/// Parses one line of a journal.
///
/// # Errors
/// If it is damaged, or has a newer format.
pub fn parse(line: &[u8], number: usize) -> Result<Entry, JournalError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    match serde_json::from_slice::<Version>(line) {
        Ok(Version { v }) if v > FORMAT => Err(JournalError::Newer(v)),
        _ => serde_json::from_slice(line).map_err(|_| JournalError::Damaged { line: number }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;
    use crate::journal::{Events, Journal};
    use std::fs;
    use std::io::Write as _;

    const WAITED: &str = r#"{"v":1,"at":"2026-01-01T00:00:00Z","event":"waited"}"#;

    fn read(text: &[u8]) -> Vec<Result<Entry, JournalError>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        fs::write(&path, text).expect("a file");
        Reader::open(&path).expect("it is there").collect()
    }

    #[test]
    fn a_time_stays_the_same_when_it_is_written_and_read_again() {
        let seconds = "0.011797777777777777777777777777777777777777777777777777777777777777777777777777777777771527";
        let line = format!(
            r#"{{"v":1,"at":"2026-01-01T00:00:00Z","event":"step_ended","step":"mix_deps_get","ok":true,"seconds":{seconds}}}"#
        );
        let entry = parse(line.as_bytes(), 1).expect("it is an entry");
        let written = serde_json::to_vec(&entry).expect("it can be written");
        assert_eq!(parse(&written, 1).expect("it can be read"), entry);
    }

    #[test]
    fn damage_by_a_crash_only_affects_its_own_lines() {
        let text = format!("{WAITED}\n{{\"v\":1,\"at\":\"2026{WAITED}\n\n\0\0\0\0\n{WAITED}\n{{\"v\":1,\"at\":");
        let entries = read(text.as_bytes());
        let is_good: Vec<_> = entries.iter().map(Result::is_ok).collect();
        assert_eq!(is_good, [true, false, false, true]);
        assert!(matches!(entries[1], Err(JournalError::Damaged { line: 2 })), "{:?}", entries[1]);
    }

    #[test]
    fn an_unknown_event_is_not_damage_and_a_newer_format_is_reported() {
        let entries = read(
            b"{\"v\":1,\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"invented\",\"more\":1}\n{\"v\":2,\"anything\":true}\n",
        );
        assert_eq!(entries[0].as_ref().expect("it is one").event, Event::Unknown);
        assert!(matches!(entries[1], Err(JournalError::Newer(2))));
    }

    #[test]
    fn every_line_of_a_file_that_is_not_a_journal_is_damaged() {
        for text in [&b"hello\nworld\n"[..], b"[1]\n2\n", b"\xff\xfe\n\x00\n", b"{}\n{\"v\":1}\n"] {
            assert!(read(text).iter().all(|entry| matches!(entry, Err(JournalError::Damaged { .. }))));
        }
        assert!(matches!(Reader::open(Path::new("/nonexistent/journal")), Err(JournalError::Missing(_))));
    }

    #[test]
    fn an_incomplete_line_is_read_when_it_is_complete() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let mut file = File::create(&path).expect("a file");
        let (begin, end) = WAITED.split_at(20);
        file.write_all(begin.as_bytes()).expect("written");
        let mut reader = Reader::open(&path).expect("it is there");
        assert!(reader.next().is_none());
        file.write_all(format!("{end}\n").as_bytes()).expect("written");
        assert_eq!(reader.next().expect("it is whole").expect("it is good").event, Event::Waited);
        assert!(reader.next().is_none());
    }

    #[test]
    fn a_journal_is_being_written_until_its_run_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let events = Events::new(Journal::create(&path, 1000).expect("it can be made"));
        let reader = Reader::open(&path).expect("it is there");
        assert!(reader.is_being_written());
        drop(events);
        assert!(!reader.is_being_written());
    }
}
