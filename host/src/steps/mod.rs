//! What each step does: functions that look at the env and say, as values, what is to be done;
//! and [`Action::execute`], which does it.

pub mod mix;
pub mod nginx;
pub mod release;
pub mod removal;
pub mod service;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::command::{Command, CommandError, Started};
use crate::env::Env;
use crate::run::log::RunLog;

/// One thing that a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Action {
    /// Run a command; any exit status but 0 is a failure.
    Run(Command),
    /// Run a command whose failure is told and is none of the step's.
    Try {
        /// The command.
        #[serde(flatten)]
        command: Command,
    },
    /// Run a command if the project has the mix task, which can only be known by then.
    RunIfTask {
        /// The task.
        task: &'static str,
        /// The command.
        command: Command,
    },
    /// Do nothing.
    Skip {
        /// Why.
        reason: String,
    },
    /// Make a folder and those above it.
    MakeDir {
        /// The folder.
        path: PathBuf,
    },
    /// Write a file, whole or not at all.
    WriteFile {
        /// The file.
        path: PathBuf,
        /// What is to stand in it.
        #[serde(skip)]
        contents: String,
        /// Its permissions.
        #[serde(skip)]
        mode: u32,
    },
    /// Remove a file or a folder with all that is in it.
    Remove {
        /// The file or folder.
        path: PathBuf,
    },
    /// Remove something of Gatling's own, which is nothing for the eyes of whoever pushed.
    Clear {
        /// The file or folder.
        path: PathBuf,
    },
    /// Fail unless mix wrote this file anew, for this version.
    ProveRelease {
        /// `start_erl.data` of the built release, which was removed before mix ran.
        marker: PathBuf,
        /// The version that is to stand in it.
        version: String,
    },
    /// Fail unless the release is the current one and accepts connections.
    ProveServing {
        /// The link to the current release.
        link: PathBuf,
        /// The name of the release.
        release: String,
        /// The app's port.
        port: u16,
    },
    /// Put a site in place, and put back what was there if nginx refuses it.
    InstallSite(Box<nginx::Site>),
}

impl Action {
    /// A command, as an action.
    #[must_use]
    pub fn run(command: Command) -> Self {
        Self::Run(command)
    }

    /// Nothing, and why.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::Skip { reason: reason.into() }
    }

    /// The commands that this action may run, for a look at whether their programs are there.
    #[must_use]
    pub fn commands(&self) -> Vec<&Command> {
        match self {
            Self::Run(command) | Self::Try { command } | Self::RunIfTask { command, .. } => vec![command],
            Self::InstallSite(site) => site.commands(),
            _ => Vec::new(),
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// When it can't be done; the error says what to do about it where that is known.
    pub fn execute(&self, env: &Env, log: &RunLog) -> Result<()> {
        match self {
            Self::Run(command) => run(command, log),
            Self::Try { command } => {
                if let Err(error) = run(command, log) {
                    log.output(&format!("warning: {error:#}"));
                }
                Ok(())
            }
            Self::RunIfTask { task, command } => {
                let ask = env.mix.command(["help", task]);
                match ask.stream(|_| {})? {
                    status if status.success() => run(command, log),
                    _ => {
                        log.output(&format!("nothing to do: the project has no mix task {task}"));
                        Ok(())
                    }
                }
            }
            Self::Skip { reason } => {
                log.output(&format!("nothing to do: {reason}"));
                Ok(())
            }
            Self::MakeDir { path } => {
                fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))
            }
            Self::WriteFile { path, contents, mode } => write_file(path, contents, *mode),
            Self::Remove { path } => {
                if remove(path)? {
                    log.output(&format!("removed {}", path.display()));
                }
                Ok(())
            }
            Self::Clear { path } => remove(path).map(drop),
            Self::ProveRelease { marker, version } => prove_release(marker, version),
            Self::ProveServing { link, release, port } => prove_serving(link, release, *port),
            Self::InstallSite(site) => site.install(log),
        }
    }
}

/// The action as a person would say it, without what it says about the future.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(command) | Self::Try { command } => write!(f, "$ {command}"),
            Self::RunIfTask { task, command } => write!(f, "$ {command}  (if there is a mix task {task} by then)"),
            Self::Skip { reason } => write!(f, "nothing to do: {reason}"),
            Self::MakeDir { path } => write!(f, "make the folder {}", path.display()),
            Self::WriteFile { path, .. } => write!(f, "write {}", path.display()),
            Self::Remove { path } | Self::Clear { path } => write!(f, "remove {}", path.display()),
            Self::ProveRelease { version, .. } => write!(f, "check that mix built {version} anew"),
            Self::ProveServing { release, port, .. } => write!(f, "check that {release} serves on port {port}"),
            Self::InstallSite(site) => site.fmt(f),
        }
    }
}

/// A command that changes the system, with root's rights where they are needed.
fn system<const N: usize>(env: &Env, program: &str, args: [&str; N]) -> Command {
    Command::new(program, args, &env.deploy_dir_or_root()).as_root(env.sudo).quiet()
}

/// Runs a command with its output in the log.
fn run(command: &Command, log: &RunLog) -> Result<()> {
    show(command, log);
    match command.run(|line| log.output(line)) {
        Ok(()) => Ok(()),
        Err(error @ CommandError::Failed { .. }) if command.program == "sudo" => Err(error)
            .context("a command that needs root's rights failed; let this user run it with sudo, without a password"),
        Err(error) => Err(error.into()),
    }
}

/// Follows a command that was started before its turn.
pub(crate) fn finish(started: Started, log: &RunLog) -> Result<()> {
    show(started.command(), log);
    Ok(started.finish(|line| log.output(line))?)
}

fn show(command: &Command, log: &RunLog) {
    let shown = format!("$ {command}");
    if command.quiet { log.debug(&shown) } else { log.output(&shown) }
}

/// Writes a file beside its place and renames it.
fn write_file(path: &Path, contents: &str, mode: u32) -> Result<()> {
    let folder = path.parent().context("a file is in a folder")?;
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(contents.as_bytes())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Removes what is there, and says whether anything was.
fn remove(path: &Path) -> Result<bool> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

fn prove_release(marker: &Path, version: &str) -> Result<()> {
    let text = match fs::read_to_string(marker) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "mix release ended well, but wrote no new release: {} is not there. It may have asked whether to overwrite \
             the old one, and got no answer: see its output above, and whether mix.exs changes what `release` does",
            marker.display()
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", marker.display())),
    };
    match text.split_whitespace().nth(1) {
        Some(built) if built == version => Ok(()),
        built => bail!(
            "mix release built version {}, but mix.exs says {version}: see `releases:` in mix.exs",
            built.unwrap_or("(none)")
        ),
    }
}

fn prove_serving(link: &Path, release: &str, port: u16) -> Result<()> {
    let current = fs::read_link(link).with_context(|| format!("cannot read the link {}", link.display()))?;
    if current.file_name() != Some(release.as_ref()) {
        bail!("the service says that it runs {release}, but {} leads to {}", link.display(), current.display());
    }
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).with_context(|| {
        format!("the service says that it runs {release}, but nothing accepts connections on port {port}")
    })?;
    Ok(())
}
