//! What users see of runs, made from their events: lines of text, tables, and an HTML page.
//!
//! Every function here turns events into output. Text from outside (output of programs and hooks, names, branches) is
//! escaped here.

pub mod html;
mod shown;
pub mod tables;
pub mod text;
mod wrap;

pub use shown::Shown;
pub use text::{Options, Renderer, Verbosity};
