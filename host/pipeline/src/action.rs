//! What steps do, as values: `gatling plan` shows actions, and the engine carries them out.

mod beside;
mod change;
mod copy;
mod in_place;
mod migration;
mod release_proof;
mod site;
mod units;

use std::fmt;
use std::path::{Path, PathBuf};

use gatling_config::paths::ProjectPaths;
use gatling_process::Command;
use gatling_runs::Change;
use serde::Serialize;

pub use beside::{SlotProof, Soak};
pub use change::RecordedChange;
pub use copy::ReleaseCopy;
pub use in_place::InPlace;
pub use migration::Migration;
pub use release_proof::ReleaseProof;
pub use site::{SiteInUse, SiteInstallation, SiteProof, SiteTrial, Visits};
pub use units::UnitCheck;

/// Copies the digested assets of a release to where nginx reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Publish {
    /// The release.
    pub release: PathBuf,
    /// The target folder.
    pub to: PathBuf,
}

/// How many releases that served are kept, including the current one.
pub const KEPT_RELEASES: usize = 5;

/// One thing that a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Action {
    /// Run a command; any exit status other than 0 is a failure.
    Run(Command),
    /// Run a command; a failure is only a warning and does not fail the step.
    Try {
        /// The command.
        #[serde(flatten)]
        command: Command,
    },
    /// Run commands that can exit with 0 without building anything, and fail unless they wrote these files.
    Build {
        /// The commands.
        commands: Vec<Command>,
        /// The files that must be written.
        written: Vec<PathBuf>,
    },
    /// Run a command if the project has the mix task, which is only known when the step runs.
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
        /// The new contents.
        #[serde(skip)]
        contents: String,
        /// Its permissions.
        #[serde(skip)]
        mode: u32,
    },
    /// Make sure that a file, or the names in a folder, are on the disk.
    Sync {
        /// The file or folder.
        path: PathBuf,
    },
    /// Make sure that everything in the folder of a release is on the disk.
    SyncRelease {
        /// The folder.
        path: PathBuf,
    },
    /// Remove a file, or a folder with its contents.
    Remove {
        /// The file or folder.
        path: PathBuf,
    },
    /// Remove one of Gatling's own files or folders, without a note to the user.
    Clear {
        /// The file or folder.
        path: PathBuf,
    },
    /// Fail unless mix wrote a new release of this version.
    ProveRelease {
        /// `start_erl.data` of the built release, which was removed before mix ran.
        marker: PathBuf,
        /// The version that it must contain.
        version: String,
    },
    /// Append a text to a file, if the file exists.
    Append {
        /// The file.
        path: PathBuf,
        /// The text.
        #[serde(skip)]
        text: String,
    },
    /// Remove the files of earlier builds from the folder where mix builds a release, except the cookie.
    ClearRelease {
        /// The release's folder.
        path: PathBuf,
    },
    /// Keep the latest releases that served and remove the others.
    KeepReleases {
        /// The project.
        #[serde(skip)]
        paths: ProjectPaths,
        /// The current release.
        serves: String,
        /// Releases that are always kept.
        needed: Vec<String>,
    },
    /// Show a warning.
    Warn {
        /// The warning.
        text: String,
    },
    /// Stop the epmd that a release started, if no node needs it.
    EndEpmd {
        /// The project.
        #[serde(skip)]
        paths: ProjectPaths,
    },
    /// Copy a release to a new name, for another place.
    CopyRelease(Box<ReleaseCopy>),
    /// Note why a release should not serve again without a word. A failure is only a warning.
    Mark {
        /// The project.
        #[serde(skip)]
        paths: ProjectPaths,
        /// The release.
        release: String,
        /// Why.
        why: String,
    },
    /// Copy the digested assets of a release to the folder that nginx reads.
    PublishAssets(Publish),
    /// Migrate the database.
    Migrate(Box<Migration>),
    /// Make a change that outlives the run.
    Change(RecordedChange),
    /// Upgrade the running release in place.
    InPlace(Box<InPlace>),
    /// Fail unless the release runs and listens on its port.
    ProveServing(Box<ReleaseProof>),
    /// Fail unless visitors get to the release through nginx.
    ProveSlot(Box<SlotProof>),
    /// Watch a release that has begun to serve, and fail unless it goes on serving.
    Soak(Box<Soak>),
    /// Fail, before the run begins, unless there is memory for one more copy of the app.
    CheckMemory {
        /// The project.
        #[serde(skip)]
        paths: ProjectPaths,
    },
    /// Fail unless visitors of every host name are served through the site that is in place.
    ProveVisitors {
        /// The project.
        #[serde(skip)]
        paths: ProjectPaths,
    },
    /// Fail unless visitors reach the app through the site that is in use.
    ProveSite(Box<SiteInUse>),
    /// Fail if systemd does not understand the project's own units.
    CheckUnits {
        /// The units.
        units: Vec<UnitCheck>,
    },
    /// Install a site, and restore the previous one if nginx rejects it.
    InstallSite(Box<SiteInstallation>),
}

impl Action {
    /// Runs a command.
    #[must_use]
    pub fn run(command: Command) -> Self {
        Self::Run(command)
    }

    /// Makes sure that a file, or the names in a folder, are on the disk.
    #[must_use]
    pub fn sync(path: &Path) -> Self {
        Self::Sync { path: path.to_owned() }
    }

    /// Does nothing, for this reason.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self::Skip { reason: reason.into() }
    }

    /// Makes a change that outlives the run.
    pub fn change(change: Change, to: impl Into<String>, actions: Vec<Self>, undo: Vec<Command>) -> Self {
        Self::Change(RecordedChange { change, to: to.into(), actions, undo })
    }

    /// Shows a warning.
    pub fn warn(text: impl Into<String>) -> Self {
        Self::Warn { text: text.into() }
    }

    /// The commands that this action may run, to check that their programs are installed.
    #[must_use]
    pub fn commands(&self) -> Vec<&Command> {
        match self {
            Self::Run(command) | Self::Try { command } | Self::RunIfTask { command, .. } => vec![command],
            Self::Build { commands, .. } => commands.iter().collect(),
            Self::InstallSite(site) => site.commands(),
            Self::Change(change) => change.commands(),
            Self::InPlace(in_place) => in_place.commands(),
            Self::ProveSite(site) => site.commands(),
            _ => Vec::new(),
        }
    }
}

/// The action as `gatling plan` shows it.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(command) | Self::Try { command } => write!(f, "$ {command}"),
            Self::Build { commands, .. } => {
                let commands: Vec<_> = commands.iter().map(|command| format!("$ {command}")).collect();
                f.write_str(&commands.join("\n"))
            }
            Self::RunIfTask { task, command } => write!(f, "$ {command}  (if the mix task {task} exists then)"),
            Self::Skip { reason } => write!(f, "nothing to do: {reason}"),
            Self::MakeDir { path } => write!(f, "make the folder {}", path.display()),
            Self::WriteFile { path, .. } => write!(f, "write {}", path.display()),
            Self::Remove { path } | Self::Clear { path } => write!(f, "remove {}", path.display()),
            Self::Sync { path } | Self::SyncRelease { path } => write!(f, "sync {} to the disk", path.display()),
            Self::ProveRelease { version, .. } => write!(f, "check that mix built a new release of {version}"),
            Self::Append { path, .. } => write!(f, "add to {}", path.display()),
            Self::ClearRelease { path } => write!(f, "remove files that earlier builds left in {}", path.display()),
            Self::KeepReleases { .. } => {
                write!(f, "keep the last {KEPT_RELEASES} releases that served, remove the others")
            }
            Self::Warn { text } => write!(f, "warning: {text}"),
            Self::EndEpmd { .. } => f.write_str("stop epmd if no other app needs it"),
            Self::CopyRelease(copy) => copy.fmt(f),
            Self::Mark { release, why, .. } => write!(f, "mark {release} as {why}"),
            Self::PublishAssets(_) => f.write_str("copy the digested assets to the folder that nginx reads"),
            Self::Migrate(migration) => migration.fmt(f),
            Self::Change(change) => change.fmt(f),
            Self::InPlace(in_place) => in_place.fmt(f),
            Self::ProveServing(serving) => serving.fmt(f),
            Self::ProveSlot(slot) => slot.fmt(f),
            Self::Soak(soak) => soak.fmt(f),
            Self::CheckMemory { .. } => f.write_str("check that there is memory for both releases"),
            Self::ProveVisitors { .. } => f.write_str("check that visitors are served through nginx"),
            Self::ProveSite(site) => site.fmt(f),
            Self::CheckUnits { units } => {
                let units: Vec<_> = units.iter().map(|unit| unit.path.display().to_string()).collect();
                write!(f, "check with systemd-analyze: {}", units.join(" "))
            }
            Self::InstallSite(site) => site.fmt(f),
        }
    }
}
