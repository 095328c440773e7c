//! Text for people: durations as people say them, and text from outside made safe to show.

mod duration;
mod escape;

pub use duration::{duration, duration_secs};
pub use escape::{escape, escape_line};
