//! Programs as values: what to run, where and with what, and the one place that runs them.

mod command;
pub mod shell;
mod variables;

pub use command::*;
pub use variables::Variables;
