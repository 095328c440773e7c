//! Writes to the log of the run.

use std::fmt;

use crate::host;

/// The severity of a log message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For debugging the hook. Written to the log file, but not shown.
    Debug,
    /// For the user who pushed.
    Info,
    /// A problem that does not stop the deployment.
    Warn,
    /// An error.
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

/// Writes `message` to the log, line by line.
///
/// The macros [`debug!`](crate::debug!), [`info!`](crate::info!), [`warn!`](crate::warn!) and
/// [`error!`](crate::error!) are shorter to write.
pub fn log(level: Level, message: impl fmt::Display) {
    host::log(level, &message.to_string());
}

/// Writes to the log file only, not to the output of the push. Takes the same arguments as `format!`.
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => { $crate::log($crate::Level::Debug, ::core::format_args!($($message)+)) };
}

/// Writes to the log, which the user who pushed sees. Takes the same arguments as `format!`.
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

/// Writes a warning to the log, which the user who pushed sees. Takes the same arguments as `format!`.
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => { $crate::log($crate::Level::Warn, ::core::format_args!($($message)+)) };
}

/// Writes an error to the log, which the user who pushed sees. Does not end the deployment: for that, return an
/// `Err`. Takes the same arguments as `format!`.
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => { $crate::log($crate::Level::Error, ::core::format_args!($($message)+)) };
}
