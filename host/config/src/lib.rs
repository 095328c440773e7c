//! The configuration as validated data: the project's `gatling.toml`, `domains` and `.env`, the operator's file,
//! and the paths on this server.

pub mod domains;
pub mod dotenv;
pub mod folders;
pub mod paths;
pub mod project;
pub mod roots;
pub mod secrets;
pub mod settings;
pub mod slot;
