//! What a hook may return, and how it reaches Gatling.

use crate::Error;

/// What a hook returns: `Result<()>`, or nothing at all.
#[diagnostic::on_unimplemented(
    message = "a hook returns `Result<()>` or nothing, not `{Self}`",
    label = "write `Result<()>` here, or leave it out",
    note = "a hook's result only says whether the deployment goes on"
)]
pub trait Outcome {
    /// The outcome as the contract has it. An error carries its causes.
    fn finish(self) -> Result<(), String>;
}

impl Outcome for () {
    fn finish(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Into<Error>> Outcome for Result<(), E> {
    fn finish(self) -> Result<(), String> {
        self.map_err(|error| format!("{:#}", error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, bail};

    #[test]
    fn a_hook_that_returns_nothing_succeeds() {
        assert_eq!(().finish(), Ok(()));
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        fn hook() -> crate::Result<()> {
            "many".parse::<u32>().context("reading the number of workers")?;
            Ok(())
        }
        assert_eq!(hook().finish().unwrap_err(), "reading the number of workers: invalid digit found in string");
    }

    #[test]
    fn an_error_can_be_made_of_words() {
        fn hook() -> crate::Result<()> {
            bail!("not on a {}", "Friday")
        }
        assert_eq!(hook().finish().unwrap_err(), "not on a Friday");
        assert_eq!(Err(Error::msg("no")).finish().unwrap_err(), "no");
    }

    #[test]
    fn a_hook_may_have_an_error_type_of_its_own() {
        let refused: Result<(), std::fmt::Error> = Err(std::fmt::Error);
        assert!(refused.finish().unwrap_err().contains("error"));
    }
}
