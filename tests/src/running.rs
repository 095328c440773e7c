//! A program that runs in the background of a test.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Output, waiting};

/// A program in its own process group, whose output can be read while it runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: PathBuf,
}

impl Running {
    /// Starts `command`, with its output in the file `output`.
    pub(crate) fn start(command: &mut Command, output: PathBuf) -> Result<Self> {
        let file = File::create_new(&output).with_context(|| format!("making {}", output.display()))?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(Self { child, output })
    }

    /// Its output so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits until it has written `text`.
    pub fn wait_for(&self, text: &str) -> Result<()> {
        waiting::wait_for(&format!("the output to contain {text:?}"), || self.said().contains(text).then_some(()))
            .with_context(|| self.said())
    }

    /// Kills its process group.
    pub fn kill(mut self) -> Result<()> {
        let group = Pid::from_child(&self.child);
        kill_process_group(group, Signal::KILL).context("killing a process group")?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end. All its output is in `stdout`.
    pub fn end(mut self) -> Result<Output> {
        let status = self.child.wait()?;
        Ok(Output { status, stdout: self.said(), stderr: String::new() })
    }
}
