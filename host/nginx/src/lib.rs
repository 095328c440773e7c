//! nginx's configuration as data: its directives, and which server answers for which host name.

pub mod config;
pub mod servers;

pub use servers::{Endpoints, Server, Transport};
