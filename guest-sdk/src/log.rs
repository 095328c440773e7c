//! Lines in the log of the run.

use std::fmt;

use crate::host;

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for a fault in the hook; kept in the log file, not shown.
    Debug,
    /// For whoever pushed.
    Info,
    /// Something to look into, though the deployment goes on.
    Warn,
    /// Something that went wrong.
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// Writes `message` to the log, where each of its lines becomes a line.
///
/// The macros [`debug!`](crate::debug!), [`info!`](crate::info!), [`warn!`](crate::warn!) and
/// [`error!`](crate::error!) are shorter to write.
pub fn log(level: Level, message: impl fmt::Display) {
    host::log(level, &message.to_string());
}

/// Writes to the log file, not to the screen of whoever pushed. Takes what `format!` takes.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log($crate::Level::Debug, ::core::format_args!($($message)+)) };
}

/// Writes to the log that whoever pushed sees. Takes what `format!` takes.
///
/// ```
/// # use gatling_hooks::{Env, info};
/// # let env = Env::sample();
/// info!("deploying {}", env.version);
/// ```
#[macro_export]
macro_rules! info {
    ($($message:tt)+) => { $crate::log($crate::Level::Info, ::core::format_args!($($message)+)) };
}

/// Writes a warning to the log that whoever pushed sees. Takes what `format!` takes.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log($crate::Level::Warn, ::core::format_args!($($message)+)) };
}

/// Writes an error to the log that whoever pushed sees, and no more than that: to end the
/// deployment, return an `Err`. Takes what `format!` takes.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::log($crate::Level::Error, ::core::format_args!($($message)+)) };
}
