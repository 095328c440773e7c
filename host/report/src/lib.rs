//! What people see of runs, made from their events: lines of text, tables, and a page of HTML.
//!
//! Every function here goes from events to output. Whatever comes from outside (what programs and hooks
//! write, names, branches) is escaped here, where it is shown.

pub mod html;
pub mod tables;
pub mod text;
mod wrap;

pub use text::{Options, Renderer, Shown, Verbosity};
