//! Gatling hooks, written in Rust.
//!
//! Gatling deploys an app on `git push`. Before and after each step it calls the hooks that the app's author has
//! written. With this crate, a hook is a function in a module:
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
//! For the target `wasm32-wasip2`, this builds a component that exports these two hooks. For any other target, it
//! is plain Rust that you can test with `cargo test`: see [`testing`].
//!
//! - [`Env`] is the env record, with all facts about the deployment. It is the same for every hook.
//! - [`info!`], [`debug!`], [`warn!`] and [`error!`] write to the log.
//! - [`bash`] runs a program that the project's `gatling.toml` grants.
//! - [`variable`] returns a variable of the project's `.env` that `gatling.toml` grants.
//! - [`deployment`] has the facts about this call.
//! - An `Err` or a panic ends the deployment there, and the version that was serving keeps serving.
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

/// Turns a module into a hooks file: each of its `pub fn`s is a hook.
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
/// The hook `on_failure` belongs to no step, and also takes a [`Failure`]. Its result changes nothing, because the
/// run has failed already.
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
/// The component exports only these functions. A function that is not `pub` is a helper. A `pub fn` whose name
/// matches no step doesn't compile.
///
/// The module needs no `use` lines: everything in [`prelude`] is in scope. Its items are not changed and keep their
/// comments and attributes. A crate can only have one such module, because it builds one component.
pub use gatling_hooks_macros::hooks;

pub use anyhow::{Context, Error, Result, bail, ensure};
pub use env::{Env, Failure};
pub use log::{Level, log};
pub use process::{Bash, Output, ProcessError, bash};
pub use variable::{VariableError, variable};

/// Everything that is in scope in a module with the attribute [`hooks`].
pub mod prelude {
    pub use crate::{
        Bash, Context, Env, Error, Failure, Level, Output, ProcessError, Result, VariableError, bail, bash, debug,
        deployment, ensure, error, info, variable, warn,
    };
}

/// Compiles the examples of the README together with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

/// Used by the code that the attribute generates. Not part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use crate::env::{failures, types};
    pub use crate::outcome::Outcome;
    pub use wit_bindgen;
}
