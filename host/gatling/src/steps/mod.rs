//! What each step does: functions that look at the env and say, as values, what is to be done;
//! and [`Action::execute`], which does it.

mod assets;
pub mod change;
mod discard;
mod epmd;
mod logs;
pub mod migrate;
pub mod mix;
pub mod nginx;
pub mod release;
pub mod removal;
pub mod service;
pub mod serving;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::env::Env;
use crate::mix::Mix;
use gatling_config::folders::make_private;
use gatling_config::roots::ProjectPaths;
use gatling_process::{Command, CommandError, Lines, describe};
use gatling_runs::{Change, Event, Events};

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
    /// Run commands that exit with 0 even where they make nothing, and fail unless they wrote these files.
    Build {
        /// The commands.
        commands: Vec<Command>,
        /// The files.
        written: Vec<PathBuf>,
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
    /// Add a text to the end of a file, if there is such a file.
    Append {
        /// The file.
        path: PathBuf,
        /// The text.
        #[serde(skip)]
        text: String,
    },
    /// Remove what earlier builds left where mix builds a release, but for its cookie.
    ClearRelease {
        /// The release's folder.
        path: PathBuf,
    },
    /// Remove releases but for the latest that served.
    KeepReleases {
        /// The project.
        #[serde(skip)]
        paths: ProjectPaths,
        /// The release that serves now.
        serves: String,
        /// Releases that are kept in any case.
        needed: Vec<String>,
    },
    /// Tell something that the user should know, and that is no failure.
    Warn {
        /// What.
        text: String,
    },
    /// End the epmd that a release started, if no node needs it.
    EndEpmd {
        /// The project.
        #[serde(skip)]
        paths: ProjectPaths,
    },
    /// Put the digested assets of a release where nginx reads them.
    PublishAssets(assets::Publish),
    /// Migrate the database.
    Migrate(Box<migrate::Migration>),
    /// Change something that outlives the run.
    Change(change::Changing),
    /// Fail unless the release is the current one, and listens where it is to.
    ProveServing(Box<serving::Serving>),
    /// Fail unless visitors come through the site that is in use to the app.
    ProveSite(Box<nginx::SiteInUse>),
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

    /// A change of something that outlives the run.
    pub fn change(change: Change, to: impl Into<String>, actions: Vec<Self>, undo: Vec<Self>) -> Self {
        Self::Change(change::Changing { change, to: to.into(), actions, undo })
    }

    /// Something to tell.
    pub fn warn(text: impl Into<String>) -> Self {
        Self::Warn { text: text.into() }
    }

    /// The commands that this action may run, for a look at whether their programs are there.
    #[must_use]
    pub fn commands(&self) -> Vec<&Command> {
        match self {
            Self::Run(command) | Self::Try { command } | Self::RunIfTask { command, .. } => vec![command],
            Self::Build { commands, .. } => commands.iter().collect(),
            Self::InstallSite(site) => site.commands(),
            Self::Change(change) => change.commands(),
            Self::ProveSite(site) => site.commands(),
            _ => Vec::new(),
        }
    }

    /// Finds out before the first step whether it could be done, where that can be found out.
    ///
    /// # Errors
    /// Why it couldn't.
    pub fn check_beforehand(&self, events: &Events) -> Result<()> {
        match self {
            Self::InstallSite(site) => site.check_beforehand(events),
            Self::Change(change) => change.actions.iter().try_for_each(|action| action.check_beforehand(events)),
            _ => Ok(()),
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// When it can't be done; the error says what to do about it where that is known.
    pub fn execute(&self, env: &Env, events: &Events) -> Result<()> {
        match self {
            Self::RunIfTask { task, command } => match env.mix.run(&env.mix.command(["help", task]), |_| {}) {
                Ok(()) => run_in(Some(&env.mix), command, events),
                Err(CommandError::Failed { .. }) => {
                    events.note(format!("nothing to do: the project has no mix task {task}"));
                    Ok(())
                }
                Err(error) => Err(error.into()),
            },
            other => other.carry_out(Some(&env.mix), events),
        }
    }

    /// Does it, where nothing needs to be asked of the project.
    ///
    /// # Errors
    /// As [`Action::execute`].
    pub fn perform(&self, events: &Events) -> Result<()> {
        self.carry_out(None, events)
    }

    fn carry_out(&self, mix: Option<&Mix>, events: &Events) -> Result<()> {
        match self {
            Self::Run(command) | Self::RunIfTask { command, .. } => run_in(mix, command, events),
            Self::Try { command } => {
                if let Err(error) = run_in(mix, command, events) {
                    events.warn(format!("{error:#}"));
                }
                Ok(())
            }
            Self::Build { commands, written } => {
                let begun = SystemTime::now();
                commands.iter().try_for_each(|command| run_in(mix, command, events))?;
                prove_written(written, begun)
            }
            Self::Skip { reason } => {
                events.note(format!("nothing to do: {reason}"));
                Ok(())
            }
            Self::MakeDir { path } => make_private(path),
            Self::WriteFile { path, contents, mode } => write_file(path, contents, *mode),
            Self::Remove { path } => {
                if remove(path)? {
                    events.note(format!("removed {}", path.display()));
                }
                Ok(())
            }
            Self::Clear { path } => remove(path).map(drop),
            Self::ProveRelease { marker, version } => prove_release(marker, version),
            Self::Append { path, text } => append(path, text),
            Self::ClearRelease { path } => clear_release(path),
            Self::KeepReleases { paths, serves, needed } => keep_releases(paths, serves, needed),
            Self::Warn { text } => {
                events.warn(text.as_str());
                Ok(())
            }
            Self::EndEpmd { paths } => {
                epmd::end(paths, events);
                Ok(())
            }
            Self::PublishAssets(publish) => publish.carry_out(),
            Self::Migrate(migration) => migration.carry_out(events),
            Self::Change(change) => change.carry_out(events),
            Self::ProveServing(serving) => serving.prove(events),
            Self::ProveSite(site) => site.prove(events),
            Self::InstallSite(site) => site.install(events),
        }
    }
}

/// The action as a person would say it, without what it says about the future.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(command) | Self::Try { command } => write!(f, "$ {command}"),
            Self::Build { commands, .. } => {
                let commands: Vec<_> = commands.iter().map(|command| format!("$ {command}")).collect();
                f.write_str(&commands.join("\n"))
            }
            Self::RunIfTask { task, command } => write!(f, "$ {command}  (if there is a mix task {task} by then)"),
            Self::Skip { reason } => write!(f, "nothing to do: {reason}"),
            Self::MakeDir { path } => write!(f, "make the folder {}", path.display()),
            Self::WriteFile { path, .. } => write!(f, "write {}", path.display()),
            Self::Remove { path } | Self::Clear { path } => write!(f, "remove {}", path.display()),
            Self::ProveRelease { version, .. } => write!(f, "check that mix built {version} anew"),
            Self::Append { path, .. } => write!(f, "add to {}", path.display()),
            Self::ClearRelease { path } => write!(f, "remove what earlier builds left in {}", path.display()),
            Self::KeepReleases { .. } => write!(f, "remove releases but for the last {KEPT_RELEASES} that served"),
            Self::Warn { text } => write!(f, "warning: {text}"),
            Self::EndEpmd { .. } => f.write_str("end epmd, if no other app needs it"),
            Self::PublishAssets(_) => f.write_str("copy the digested assets to where nginx reads them"),
            Self::Migrate(migration) => migration.fmt(f),
            Self::Change(change) => change.fmt(f),
            Self::ProveServing(serving) => serving.fmt(f),
            Self::ProveSite(site) => site.fmt(f),
            Self::InstallSite(site) => site.fmt(f),
        }
    }
}

/// A command that changes the system, with root's rights where they are needed.
fn system<const N: usize>(env: &Env, program: &str, args: [&str; N]) -> Command {
    Command::new(program, args, &env.deploy_dir_or_root()).as_root(env.server.sudo).quiet()
}

/// Runs a command; what it writes are events.
fn run(command: &Command, events: &Events) -> Result<()> {
    run_in(None, command, events)
}

/// Runs a command as [`run`] does; it may be one of this mix.
fn run_in(mix: Option<&Mix>, command: &Command, events: &Events) -> Result<()> {
    let run = || match mix {
        Some(mix) => mix.run(command, emit(events)),
        None => command.run(emit(events)),
    };
    match follow(command, run, events) {
        Ok(()) => Ok(()),
        Err(error @ CommandError::Failed { .. }) if is_forbidden(command) => Err(error).context(
            "this user may not run a command that needs root's rights: allow it in /etc/sudoers.d, as the README says",
        ),
        Err(error) => Err(error.into()),
    }
}

/// Whether it is sudo that doesn't run the command: asked, as a command's own failure looks the same.
fn is_forbidden(command: &Command) -> bool {
    let Some(own) = command.args.get(1..).filter(|_| command.program == "sudo") else { return false };
    let ask = Command::new("sudo", ["-n", "-l"].into_iter().chain(own.iter().map(String::as_str)), &command.dir);
    !ask.stream(|_| {}).is_ok_and(|status| status.success())
}

/// Says which command runs, and how it ended.
fn follow(
    command: &Command,
    run: impl FnOnce() -> Result<(), CommandError>,
    events: &Events,
) -> Result<(), CommandError> {
    events.emit(Event::Command { line: command.to_string(), quiet: command.quiet });
    let begun = Instant::now();
    let result = run();
    let status = match &result {
        Ok(()) => "exited with status 0".to_owned(),
        Err(CommandError::Failed { status, .. }) => describe(*status),
        Err(error) => format!("was not started: {error}"),
    };
    events.emit(Event::CommandEnded { status, ok: result.is_ok(), seconds: begun.elapsed().as_secs_f64() });
    result
}

/// Makes events of what a program writes.
fn emit(events: &Events) -> impl FnMut(Lines) {
    |lines| events.emit(Event::Output { text: lines.text, open: lines.open })
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

/// Fails unless each file was written since `begun`.
fn prove_written(files: &[PathBuf], begun: SystemTime) -> Result<()> {
    // File systems note times by a coarser clock.
    let begun = begun - Duration::from_secs(1);
    let is_new = |file: &&PathBuf| fs::metadata(file).and_then(|file| file.modified()).is_ok_and(|time| time >= begun);
    match files.iter().find(|file| !is_new(file)) {
        None => Ok(()),
        Some(file) => bail!(
            "the assets were built without an error, but {} was not written: see the output above, and whether \
             `assets.deploy` in mix.exs ends with `phx.digest`. The app needs that file, because its config sets \
             `cache_static_manifest`",
            file.display()
        ),
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

/// How many releases that served are kept, the one that serves among them.
const KEPT_RELEASES: usize = 5;

/// Notes that a release serves, and removes those that nobody would go back to.
fn keep_releases(paths: &ProjectPaths, serves: &str, needed: &[String]) -> Result<()> {
    let mut served = paths.served();
    served.retain(|release| release != serves && paths.releases_dir().join(release).is_dir());
    served.push(serves.to_owned());
    let latest = served.split_off(served.len().saturating_sub(KEPT_RELEASES));
    write_file(&paths.served_file(), &(latest.join("\n") + "\n"), 0o644)?;
    discard::finish(&paths.deploy_dir())?;
    for entry in fs::read_dir(paths.releases_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !latest.contains(&name) && !needed.contains(&name) {
            discard::discard(&entry.path(), &paths.deploy_dir())?;
        }
    }
    assets::prune(paths, &[latest.as_slice(), needed].concat());
    Ok(())
}

fn append(path: &Path, text: &str) -> Result<()> {
    let write = || -> io::Result<()> {
        match fs::OpenOptions::new().append(true).open(path) {
            Ok(mut file) => file.write_all(text.as_bytes()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// mix keeps the cookie of a release that it builds anew, and so nodes of it know each other.
fn clear_release(path: &Path) -> Result<()> {
    let Some(aside) = path.parent() else { return Ok(()) };
    discard::finish(aside)?;
    let releases = path.join("releases");
    let cookie = fs::read(releases.join("COOKIE")).ok();
    if path.exists() {
        discard::discard(path, aside)?;
    }
    if let Some(cookie) = cookie {
        make_private(&releases)?;
        fs::write(releases.join("COOKIE"), cookie).context("cannot keep the release's cookie")?;
    }
    Ok(())
}
