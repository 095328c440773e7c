//! The environment of other processes.

use std::fs;

/// The environment variables that a process was started with.
#[derive(Clone, Debug)]
pub struct Environ(String);

impl Environ {
    /// Those of a process. None if it has ended or belongs to another user.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self(String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/environ")).ok()?).into_owned()))
    }

    /// Whether there is this variable, given as `NAME=value`.
    #[must_use]
    pub fn contains(&self, variable: &str) -> bool {
        self.variables().any(|own| own == variable)
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables().find_map(|own| own.strip_prefix(name)?.strip_prefix('='))
    }

    fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.split('\0')
    }
}
