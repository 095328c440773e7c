//! The installed init script, which the administrator of the server uses.

mod kept;
mod script;
mod supervised;
mod system;

/// A second release on the server, next to the current one.
const OTHER: &str = "0.2.0";
