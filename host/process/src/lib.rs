//! Commands as values, and the only code that runs programs.

mod command;
mod environ;
pub mod shell;
mod variables;

pub use command::*;
pub use environ::Environ;
pub use variables::Variables;
