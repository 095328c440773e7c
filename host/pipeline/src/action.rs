//! What steps do, as values: an action is shown by `gatling plan`, and carried out by the engine.

mod change;
mod migration;
mod release_proof;
mod site;

use std::fmt;
use std::path::PathBuf;

use gatling_config::roots::ProjectPaths;
use gatling_process::Command;
use gatling_runs::Change;
use serde::Serialize;

pub use change::Changing;
pub use migration::Migration;
pub use release_proof::ReleaseProof;
pub use site::{SiteInUse, SiteInstallation, SiteProof, SiteTrial, Visits};

/// Copies the digested assets of a release to where nginx reads them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Publish {
    /// The release.
    pub release: PathBuf,
    /// Where they go.
    pub to: PathBuf,
}

/// How many releases that served are kept, the one that serves among them.
pub const KEPT_RELEASES: usize = 5;

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
    PublishAssets(Publish),
    /// Migrate the database.
    Migrate(Box<Migration>),
    /// Change something that outlives the run.
    Change(Changing),
    /// Fail unless the release is the current one, and listens where it is to.
    ProveServing(Box<ReleaseProof>),
    /// Fail unless visitors come through the site that is in use to the app.
    ProveSite(Box<SiteInUse>),
    /// Put a site in place, and put back what was there if nginx refuses it.
    InstallSite(Box<SiteInstallation>),
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
        Self::Change(Changing { change, to: to.into(), actions, undo })
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
