//! nginx: its configuration, its sites, and what visitors see of them.

pub mod config;
pub mod servers;
pub mod trial;
pub mod visitor;
