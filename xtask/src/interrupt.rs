//! Ctrl-C while something is running that has to be cleaned up.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::shell;

/// How often to look whether somebody has interrupted.
const PAUSE: Duration = Duration::from_millis(20);

/// Turns signals that would end this program into errors, so that it cleans up as after others.
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches the signals from now on.
    pub(crate) fn catch() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("preparing for an interruption")?;
        }
        Ok(Self(flag))
    }

    /// An error if there was an interruption.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Shows `command` and runs it, until it ends or somebody interrupts.
    pub(crate) fn show(&self, command: &mut Command) -> Result<()> {
        self.check()?;
        println!("$ {}", shell::text(command));
        let mut child = command
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.check().is_err() {
                child.kill()?;
            }
            thread::sleep(PAUSE);
        };
        self.check()?;
        if !status.success() {
            bail!("`{}` ended with {status}", shell::text(command));
        }
        Ok(())
    }
}
