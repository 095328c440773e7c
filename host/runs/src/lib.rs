//! The records of runs: the events of each run, in a journal, and the lock that allows one run per project at a time.
//!
//! A run is its events. The process that carries out a run appends each of them to the run's journal, and everything
//! that users see of the run comes from that journal.

pub mod boot;
pub mod event;
pub mod fault;
pub mod journal;
mod legacy;
pub mod lock;
mod output;
pub mod reader;
pub mod redact;
pub mod store;
pub mod summary;

pub use event::{Change, Entry, Event, Level, Outcome, Serving};
pub use journal::{Events, Journal, Sink};
pub use reader::{JournalError, Reader};
pub use redact::Redactor;
pub use store::Runs;
pub use summary::{State, Summary};
