//! Commands as values, and the only code that runs programs.

mod command;
pub mod shell;
mod variables;

pub use command::*;
pub use variables::Variables;
