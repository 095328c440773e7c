//! Gatling: `git push` an Elixir app to your own server. Every step of a deployment is wrapped in
//! hooks that the app's author writes, in any language, as a sandboxed WebAssembly component.
//!
//! The way of the data: [`env::Env`] is built once from what the server and the project say;
//! [`task`] lists the steps; each step says, as values, what is to be done ([`steps::Action`]);
//! [`run`] carries it out under a lock, and calls [`hooks`] around each step.

pub mod authoring;
pub mod command;
pub mod domains;
pub mod dotenv;
pub mod env;
pub mod folders;
pub mod grants;
pub mod hooks;
pub mod http;
pub mod mix;
pub mod nginx;
pub mod project;
pub mod release;
pub mod restart;
pub mod roots;
pub mod run;
pub mod secrets;
pub mod serving;
pub mod settings;
pub mod shell;
pub mod steps;
pub mod tail;
pub mod task;
pub mod templates;
pub mod toolchain;
