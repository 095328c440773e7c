//! Gatling hooks, written in Rust.
//!
//! Gatling deploys an app on `git push`, and calls the hooks that the app's author wrote before
//! and after each step. With this crate a hook is a function in a module:
//!
//! ```
//! #[gatling_hooks::hooks]
//! mod hooks {
//!     pub fn before_mix_digest(env: &Env) -> Result<()> {
//!         info!("building the assets of {}", env.version);
//!         bash("npm", ["run", "deploy"]).cd("assets").run()?;
//!         Ok(())
//!     }
//!
//!     pub fn after_upgrade_service(env: &Env) {
//!         info!("{} {} is up", env.project, env.version);
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! Built for `wasm32-wasip2` it is a component that exports these two hooks and no others. Built
//! for any other target it is plain Rust, which `cargo test` tests: see [`testing`].
//!
//! - [`Env`] says everything about the deployment, and is the same for every hook of it.
//! - [`info!`], [`debug!`], [`warn!`] and [`error!`] write to the log that whoever pushed sees.
//! - [`bash`] runs a program that the project's `gatling.toml` grants.
//! - [`variable`] is a variable of the project's `.env` that `gatling.toml` grants.
//! - [`deployment`] says what is true of just this call.
//! - An `Err`, or a panic, ends the deployment there, and the app goes on serving as it was.
//! - The hook `on_failure` is called when a run fails, with a [`Failure`] that says what failed.

mod env;
mod log;
mod outcome;
mod process;
mod variable;

pub mod deployment;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
use component as host;
#[cfg(not(target_family = "wasm"))]
use testing::host;

/// Makes a module the hooks file of a task: each of its `pub fn`s is a hook.
///
/// A hook is named after a phase and a step, takes `&Env`, and returns `Result<()>` or nothing:
///
/// ```
/// #[gatling_hooks::hooks]
/// mod hooks {
///     pub fn before_mix_compile(env: &Env) -> Result<()> {
///         info!("compiling {}", title(env));
///         Ok(())
///     }
///
///     fn title(env: &Env) -> String {
///         format!("{} {}", env.project, env.version)
///     }
/// }
/// # fn main() {}
/// ```
///
/// One hook belongs to no step, and takes what failed too. What it returns changes nothing: the run has
/// failed already.
///
/// ```
/// #[gatling_hooks::hooks]
/// mod hooks {
///     pub fn on_failure(env: &Env, failure: &Failure) -> Result<()> {
///         let place = failure.place().unwrap_or("the checks");
///         bash("notify", ["#ops"]).arg(format!("{} failed at {place}", env.project)).run()?;
///         Ok(())
///     }
/// }
/// # fn main() {}
/// ```
///
/// The component exports these functions and no others, so that Gatling calls just what is
/// written. A function that is not `pub` is a helper. A `pub fn` that is named after no step
/// doesn't compile.
///
/// The module needs no `use` lines: everything in [`prelude`] is in scope. Its items stay what
/// they are, with their comments and attributes. A crate has one such module, since it makes
/// one component.
pub use gatling_hooks_macros::hooks;

pub use anyhow::{Context, Error, Result, bail, ensure};
pub use env::{Env, Failure};
pub use log::{Level, log};
pub use process::{Bash, Output, ProcessError, bash};
pub use variable::{VariableError, variable};

/// Everything that is in scope inside a module with the attribute [`hooks`].
pub mod prelude {
    pub use crate::{
        Bash, Context, Env, Error, Failure, Level, Output, ProcessError, Result, VariableError, bail, bash, debug,
        deployment, ensure, error, info, variable, warn,
    };
}

/// The README's example is compiled with the examples of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

/// What the attribute's code names; no part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::env::{failures, types};
    pub use crate::outcome::Outcome;
    pub use wit_bindgen;
}
