//! Follows a journal that is still being written.

use std::io;
use std::path::{Path, PathBuf};

use gatling_runs::{Entry, Event, JournalError, Outcome, Reader};

/// Shows the events of a run.
pub trait Show {
    /// Shows an event.
    ///
    /// # Errors
    /// If it cannot be written.
    fn show(&mut self, entry: &Entry) -> io::Result<()>;

    /// Reports that a part of the journal cannot be read.
    ///
    /// # Errors
    /// If it cannot be written.
    fn damaged(&mut self, error: &JournalError) -> io::Result<()>;

    /// Called regularly, also without a new event.
    ///
    /// # Errors
    /// If it cannot be written.
    fn tick(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Called after the last event.
    ///
    /// # Errors
    /// If it cannot be written.
    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shows new events of a journal, which need not exist yet.
pub struct Follower {
    path: PathBuf,
    reader: Option<Reader>,
    ended: Option<Outcome>,
}

impl Follower {
    /// A follower of this journal.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), reader: None, ended: None }
    }

    /// Whether the run's end has been shown.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// How the run ended, if its end has been shown.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.ended
    }

    /// Whether the journal exists.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.reader.is_some()
    }

    /// Whether the run is in progress.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.reader.as_ref().is_some_and(Reader::is_being_written)
    }

    /// Shows new events.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn show_new(&mut self, show: &mut dyn Show) -> io::Result<()> {
        if self.reader.is_none() {
            // The run may not have created it yet.
            self.reader = Reader::open(&self.path).ok();
        }
        for entry in self.reader.iter_mut().flatten() {
            match entry {
                Ok(entry) => {
                    if let Event::Ended { outcome, .. } = entry.event {
                        self.ended = Some(outcome);
                    }
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
