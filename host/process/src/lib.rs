//! Programs as values: what to run, where and with what, and the one place that runs them.

mod command;
pub mod shell;

pub use command::*;
