//! Text for users: readable durations, and untrusted text made safe for terminals.

mod duration;
mod escape;

pub use duration::{duration, duration_secs};
pub use escape::{escape, escape_line};
