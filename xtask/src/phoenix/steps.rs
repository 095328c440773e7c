//! Steps, printed as they are taken.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::interrupt::Interrupt;

/// How wide the titles of steps are; a longer one moves what is behind it.
const TITLE: usize = 76;

/// What was tried so far, and what came of it.
pub(crate) struct Steps<'i> {
    interrupt: &'i Interrupt,
    begun: Instant,
    taken: usize,
    failed: Vec<String>,
}

impl<'i> Steps<'i> {
    /// No step yet. Once there was an interruption, no step is taken any more.
    pub(crate) fn new(interrupt: &'i Interrupt) -> Self {
        Self { interrupt, begun: Instant::now(), taken: 0, failed: Vec::new() }
    }

    /// Takes a step, and prints its title, whether it went well, its time, and the note that it
    /// returns or else its error. One that failed doesn't keep the next from being taken.
    pub(crate) fn take(&mut self, title: &str, step: impl FnOnce() -> Result<String>) {
        if self.interrupt.check().is_err() {
            return;
        }
        self.taken += 1;
        print!("{:3}  {title:TITLE$}  ", self.taken);
        // It is only there to watch.
        _ = std::io::stdout().flush();
        let begun = Instant::now();
        let result = step();
        let seconds = begun.elapsed().as_secs_f64();
        match result {
            Ok(note) => println!("ok     {seconds:6.1} s{}", indented(&note)),
            Err(error) => {
                println!("FAILED {seconds:6.1} s{}", indented(&format!("{error:#}")));
                self.failed.push(title.to_owned());
            }
        }
    }

    /// As [`Self::take`], for a step that the others are nothing without.
    pub(crate) fn need(&mut self, title: &str, step: impl FnOnce() -> Result<String>) -> Result<()> {
        let failed = self.failed.len();
        self.take(title, step);
        if self.failed.len() > failed {
            bail!("the rest needs this step");
        }
        Ok(())
    }

    /// Prints how it went, and fails unless all went well.
    pub(crate) fn sum_up(&self) -> Result<()> {
        self.interrupt.check()?;
        let minutes = self.begun.elapsed().as_secs_f64() / 60.0;
        println!("\n{} steps, {} failed; {minutes:.1} min", self.taken, self.failed.len());
        if self.failed.is_empty() {
            return Ok(());
        }
        let mut list = String::new();
        for title in &self.failed {
            write!(list, "\n  {title}")?;
        }
        bail!("failed:{list}");
    }
}

/// A text on lines of its own, below a step's title; nothing where there is none.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("\n         {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_is_counted_and_the_next_is_taken() {
        let interrupt = Interrupt::catch().expect("signals can be caught");
        let mut steps = Steps::new(&interrupt);
        steps.take("fails", || bail!("no reason"));
        steps.need("goes well", || Ok(String::new())).expect("it went well");
        assert!(steps.need("fails too", || bail!("no reason")).is_err());
        assert_eq!((steps.taken, steps.failed.len()), (3, 2));
        assert_eq!(steps.sum_up().expect_err("two failed").to_string(), "failed:\n  fails\n  fails too");
    }
}
