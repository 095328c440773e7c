//! What is written down of each run: its events, in a journal, and the lock that keeps runs of one
//! project apart.
//!
//! A run is its events. The process that carries a run out appends each of them to the run's journal;
//! everything that anybody sees of the run is made from that journal.

pub mod event;
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
