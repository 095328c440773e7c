//! The installed init script: what the administrator of the server works with.

mod kept;
mod script;
mod system;

/// The release that stands on the server beside the one that serves.
const OTHER: &str = "0.2.0";
