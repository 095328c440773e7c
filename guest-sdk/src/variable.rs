//! Variables of the project's `.env`.

use std::error;
use std::fmt;

use crate::host;

/// The value of a variable of the project's `.env`, such as a token, which `gatling config` sets.
/// The project's `gatling.toml` must grant it by its name:
///
/// ```toml
/// [hooks.grants]
/// env = ["SLACK_TOKEN"]
/// ```
///
/// ```
/// # use gatling_hooks::prelude::*;
/// fn notify(env: &Env) -> Result<()> {
///     let token = variable("SLACK_TOKEN")?;
///     bash("curl", ["--silent", "--header"]).arg(format!("Authorization: Bearer {token}")).run()?;
///     Ok(())
/// }
/// ```
///
/// # Errors
/// When it isn't granted or isn't set. The message says what to do.
pub fn variable(name: &str) -> Result<String, VariableError> {
    host::variable(name)
}

/// Why a variable can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VariableError {
    /// No grant allows it. The message names the line to add to `gatling.toml`.
    Denied(String),
    /// It is granted, but the project's `.env` doesn't set it.
    NotSet(String),
}

impl fmt::Display for VariableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(message) | Self::NotSet(message) => f.write_str(message),
        }
    }
}

impl error::Error for VariableError {}
