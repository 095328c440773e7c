//! nginx sites: how one is tested, installed, checked and restored.

use std::fmt;
use std::path::PathBuf;

use gatling_nginx::servers::Server;
use gatling_process::Command;
use serde::Serialize;

/// A site, and the commands that install it and restore the previous one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteInstallation {
    /// The site's file.
    pub path: PathBuf,
    /// Where its text is written first.
    #[serde(skip)]
    pub staged: PathBuf,
    /// The text of the site.
    #[serde(skip)]
    pub contents: String,
    /// Whether exactly this site is already installed.
    pub unchanged: bool,
    /// The symlink that enables it.
    #[serde(skip)]
    pub link: PathBuf,
    /// The lock for nginx's configuration: nginx checks all of it, including the sites of other projects.
    #[serde(skip)]
    pub lock: PathBuf,
    /// Where the text of the previous site is saved, if there is one.
    #[serde(skip)]
    pub backup: PathBuf,
    /// How it is tested before it replaces the current site.
    #[serde(skip)]
    pub trial: SiteTrial,
    /// Where its text is copied first, in the same folder.
    #[serde(skip)]
    pub draft: PathBuf,
    /// Copy its text there.
    pub copy: Command,
    /// Put it in its place, whole.
    pub place: Vec<Command>,
    /// Enable it, if it is not enabled yet.
    pub enable: Command,
    /// Have nginx check all of its configuration.
    pub test: Command,
    /// Have nginx use it.
    pub reload: Command,
    /// Have nginx print its configuration.
    #[serde(skip)]
    pub dump: Command,
    /// How to check that nginx uses it; not available for a project's own nginx.conf.
    pub proof: Option<SiteProof>,
    /// Requests that must succeed.
    pub visits: Visits,
    /// Restore the text of the previous site.
    #[serde(skip)]
    pub restore: Vec<Command>,
    /// Remove it, if there was no previous site.
    #[serde(skip)]
    pub remove: Command,
    /// Disable it, if it was not enabled before.
    #[serde(skip)]
    pub disable: Command,
}

/// What nginx answers once it uses a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteProof {
    /// Where nginx listens.
    pub address: String,
    /// A host name of the site.
    pub host: String,
    /// The expected answer.
    #[serde(skip)]
    pub answer: String,
}

/// Requests for every host name of the project, through nginx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Visits {
    /// The host names.
    pub hosts: Vec<String>,
    /// The requested path.
    pub path: String,
    /// The servers of the site, as far as nginx.conf can be parsed.
    #[serde(skip)]
    pub servers: Vec<Server>,
    /// Headers of each request.
    #[serde(skip)]
    pub headers: Vec<String>,
}

impl fmt::Display for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hosts.as_slice() {
            [] => f.write_str("visit no page: the site has no host name"),
            hosts => write!(f, "visit {} at {} through nginx", self.path, hosts.join(", ")),
        }
    }
}

/// The site that visitors use after an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SiteInUse {
    /// There is none yet.
    None,
    /// The site that is already installed.
    InPlace(Visits),
    /// A site that must switch to the app's new port immediately.
    Moved(Box<SiteInstallation>),
}

impl SiteInUse {
    pub(crate) fn commands(&self) -> Vec<&Command> {
        match self {
            Self::None | Self::InPlace(_) => Vec::new(),
            Self::Moved(site) => site.commands(),
        }
    }
}

impl fmt::Display for SiteInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no site is installed yet"),
            Self::InPlace(visits) => visits.fmt(f),
            Self::Moved(site) => site.fmt(f),
        }
    }
}

impl SiteInstallation {
    /// The name of the site's file.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(crate) fn commands(&self) -> Vec<&Command> {
        [&self.copy].into_iter().chain(&self.place).chain([&self.enable, &self.test, &self.reload]).collect()
    }
}

impl fmt::Display for SiteInstallation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unchanged && self.proof.is_some() {
            return write!(f, "nothing to do if nginx already uses {}\n{}", self.path.display(), self.visits);
        }
        let commands: Vec<_> = self.commands().into_iter().map(|command| format!("$ {command}")).collect();
        f.write_str(&commands.join("\n"))?;
        if let Some(proof) = &self.proof {
            write!(f, "\ncheck that nginx serves {} at {}", proof.host, proof.address)?;
        }
        write!(f, "\n{}", self.visits)
    }
}

/// How a site is tested before it replaces the current site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteTrial {
    /// `nginx -T` of the server.
    pub dump: Command,
    /// The site's symlink, as the server's nginx includes it.
    pub link: PathBuf,
    /// Where the text of the new site is during the trial.
    pub staged: PathBuf,
    /// The text.
    pub text: String,
    /// The configuration for the trial. It is in nginx's own folder, so that relative paths keep their meaning.
    pub config: PathBuf,
    /// Copies it there from [`SiteTrial::draft`].
    pub place: Command,
    /// Removes it.
    pub remove: Command,
    /// Where it is written first.
    pub draft: PathBuf,
    /// `nginx -c CONFIG`.
    pub nginx: Command,
    /// The host names that visitors use.
    pub hosts: Vec<String>,
    /// The path that they request.
    pub path: String,
    /// Headers with which maintenance does not keep Gatling out.
    pub headers: Vec<String>,
    /// The app's port, or those of both slots.
    pub ports: Vec<u16>,
    /// The project.
    pub project: String,
}
