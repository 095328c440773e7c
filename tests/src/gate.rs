//! A gate in a project's build: the build waits there until the test opens it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::waiting;

/// A gate in the step `mix_digest`.
#[derive(Debug)]
pub struct Gate {
    reached: PathBuf,
    open: PathBuf,
}

impl Gate {
    /// A gate whose state is in files in `folder`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self { reached: folder.join("reached"), open: folder.join("open") })
    }

    /// An Elixir function that waits at the gate. It gives up after two minutes, in case the test was killed.
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

    /// Waits until a build has reached the gate.
    pub fn wait(&self) -> Result<()> {
        waiting::wait_for("a build to reach the gate", || self.reached.exists().then_some(()))
    }

    /// Opens the gate for this build and all later ones.
    pub fn open(&self) -> Result<()> {
        fs::write(&self.open, "").with_context(|| format!("writing {}", self.open.display()))
    }
}
