//! The return types of hooks, and their conversion to the contract's type.

use crate::Error;

/// The return type of a hook: `Result<()>`, or nothing.
#[diagnostic::on_unimplemented(
    message = "a hook returns `Result<()>` or nothing, not `{Self}`",
    label = "write `Result<()>` here, or leave it out",
    note = "a hook's result only says whether the deployment continues"
)]
pub trait Outcome {
    /// Converts the outcome to the contract's type. The text of an error includes its causes.
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
    fn the_text_of_an_error_includes_its_causes() {
        fn hook() -> crate::Result<()> {
            "many".parse::<u32>().context("reading the number of workers")?;
            Ok(())
        }
        assert_eq!(hook().finish().unwrap_err(), "reading the number of workers: invalid digit found in string");
    }

    #[test]
    fn an_error_can_be_created_from_a_message() {
        fn hook() -> crate::Result<()> {
            bail!("not on a {}", "Friday")
        }
        assert_eq!(hook().finish().unwrap_err(), "not on a Friday");
        assert_eq!(Err(Error::msg("no")).finish().unwrap_err(), "no");
    }

    #[test]
    fn a_hook_may_use_its_own_error_type() {
        let refused: Result<(), std::fmt::Error> = Err(std::fmt::Error);
        assert!(refused.finish().unwrap_err().contains("error"));
    }
}
