//! A gate in a project's build: it waits there until the test lets it pass.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::waiting;

/// A gate that the step `mix_digest` comes to.
#[derive(Debug)]
pub struct Gate {
    reached: PathBuf,
    open: PathBuf,
}

impl Gate {
    /// A gate of which files in `folder` tell whether it was reached and whether it is open.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self { reached: folder.join("reached"), open: folder.join("open") })
    }

    /// An Elixir function that waits at the gate. It gives up in the end, so that nothing is left
    /// waiting for a test that was killed.
    pub(crate) fn function(&self, name: &str) -> String {
        format!(
            "  defp {name}(_args) do
    File.write!({reached:?}, \"\")
    Enum.find(1..6000, fn _ -> File.exists?({open:?}) or Process.sleep(20) != :ok end)
  end
",
            reached = self.reached,
            open = self.open
        )
    }

    /// Waits until a build has come to the gate.
    pub fn wait(&self) -> Result<()> {
        waiting::wait_for("a build to come to the gate", || self.reached.exists().then_some(()))
    }

    /// Lets this build pass, and those that come after it.
    pub fn open(&self) -> Result<()> {
        fs::write(&self.open, "").with_context(|| format!("writing {}", self.open.display()))
    }
}
