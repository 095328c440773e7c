//! Hooks as other tools run them: a program each. These are scripts that do nothing.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::HOOKS;
use super::race::Race;
use crate::shell;

/// What runs a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interpreter {
    Sh,
    Python,
    Elixir,
}

impl Interpreter {
    pub(super) const ALL: [Self; 3] = [Self::Sh, Self::Python, Self::Elixir];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::Python => "python3",
            Self::Elixir => "elixir",
        }
    }

    /// Writes all hooks of an upgrade as scripts into `folder`.
    pub(super) fn write_hooks(self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        // Neither `env` nor what manages several versions is a part of what is timed.
        let first_line = format!("#!{}\n", self.program()?.display());
        HOOKS.iter().try_for_each(|hook| write_program(&folder.join(hook), &first_line))
    }

    /// The program itself.
    fn program(self) -> Result<PathBuf> {
        let printed = |program: &str, arguments: &[&str]| {
            let path = shell::read(Command::new(program).args(arguments))?;
            Ok::<_, anyhow::Error>(PathBuf::from(path.trim()))
        };
        match self {
            Self::Sh => Ok(PathBuf::from("/bin/sh")),
            Self::Python => printed("python3", &["-c", "import sys; print(sys.executable)"]),
            Self::Elixir => printed("sh", &["-c", "command -v elixir"]),
        }
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Times the start of one script of each kind; `hooks` tells where its hooks are.
pub(super) fn starts(rounds: usize, hooks: impl Fn(Interpreter) -> PathBuf) -> Result<Race<Interpreter>> {
    Race::run(Interpreter::ALL, 1, rounds, |interpreter| start(&hooks(*interpreter).join(HOOKS[0])))
}

fn start(script: &Path) -> Result<Duration> {
    let mut command = Command::new(script);
    command.stdin(Stdio::null());
    let start = Instant::now();
    let output = command.output().with_context(|| format!("starting {}", script.display()))?;
    let time = start.elapsed();
    if !output.status.success() {
        bail!("{} ended with {}:\n{}", script.display(), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(time)
}

/// Writes a program.
pub(super) fn write_program(place: &Path, text: &str) -> Result<()> {
    fs::write(place, text).with_context(|| format!("writing {}", place.display()))?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
