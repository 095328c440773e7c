//! The secret that a Phoenix app signs its cookies with.

use std::fs::{self, File};
use std::io::Read as _;

use anyhow::{Context, Result};

use crate::dotenv::Dotenv;
use crate::paths::ProjectPaths;

/// The name of the variable.
pub const NAME: &str = "SECRET_KEY_BASE";

/// Whether the project's config reads the secret, but its `.env` does not set it.
#[must_use]
pub fn is_missing(paths: &ProjectPaths, dotenv: &Dotenv) -> bool {
    let config = fs::read_to_string(paths.build_dir().join("config/runtime.exs")).unwrap_or_default();
    dotenv.get(NAME).is_none() && config.contains(&format!("\"{NAME}\""))
}

/// A new secret: 48 random bytes as 96 hexadecimal digits. Phoenix requires at least 64 characters.
///
/// # Errors
/// When the system provides no random bytes.
pub fn generate() -> Result<String> {
    let mut bytes = [0; 48];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_are_long_enough() {
        let (one, two) = (generate().expect("random bytes"), generate().expect("random bytes"));
        assert!(one != two && one.len() >= 64 && two.len() >= 64);
    }
}
