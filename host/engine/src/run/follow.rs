//! Following a journal that is being written.

use std::io;
use std::path::{Path, PathBuf};

use gatling_runs::{Entry, Event, JournalError, Reader};

/// Shows the events of a run.
pub trait Show {
    /// Shows an event.
    ///
    /// # Errors
    /// When nobody reads it.
    fn show(&mut self, entry: &Entry) -> io::Result<()>;

    /// Says that a part of the journal can't be read.
    ///
    /// # Errors
    /// When nobody reads it.
    fn damaged(&mut self, error: &JournalError) -> io::Result<()>;

    /// Time goes by.
    ///
    /// # Errors
    /// When nobody reads it.
    fn tick(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing more will be shown.
    ///
    /// # Errors
    /// When nobody reads it.
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shows what is new in a journal, which need not be there yet.
pub struct Follower {
    path: PathBuf,
    reader: Option<Reader>,
    ended: bool,
}

impl Follower {
    /// Follows this journal.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), reader: None, ended: false }
    }

    /// Whether the run's end has been shown.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether there is a journal.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.reader.is_some()
    }

    /// Whether the run is under way.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.reader.as_ref().is_some_and(Reader::is_being_written)
    }

    /// Shows what is new.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn show_new(&mut self, show: &mut dyn Show) -> io::Result<()> {
        if self.reader.is_none() {
            // Until its run has made it.
            self.reader = Reader::open(&self.path).ok();
        }
        for entry in self.reader.iter_mut().flatten() {
            match entry {
                Ok(entry) => {
                    self.ended |= matches!(entry.event, Event::Ended { .. });
                    show.show(&entry)?;
                }
                Err(error @ (JournalError::Damaged { .. } | JournalError::Newer(_))) => show.damaged(&error)?,
                Err(error) => {
                    show.damaged(&error)?;
                    break;
                }
            }
        }
        show.tick()
    }
}
