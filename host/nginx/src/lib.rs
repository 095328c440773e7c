//! nginx's configuration as data: what it says, and who answers for which host name.

pub mod config;
pub mod servers;

pub use servers::{Door, Server, Transport};
