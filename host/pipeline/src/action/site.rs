//! Sites of nginx: how one is tried, put in place and proven, and taken back.

use std::fmt;
use std::path::PathBuf;

use gatling_nginx::servers::Server;
use gatling_process::Command;
use serde::Serialize;

/// A site, and the commands that put it in place and take it back.
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
    /// Whether just this site is in place already.
    pub unchanged: bool,
    /// The link that switches it on.
    #[serde(skip)]
    pub link: PathBuf,
    /// nginx checks all of its configuration, so that the sites of other projects play a part.
    #[serde(skip)]
    pub lock: PathBuf,
    /// Where the text that it replaces is kept, if there is one.
    #[serde(skip)]
    pub kept: PathBuf,
    /// How it is tried before it replaces the one that serves.
    #[serde(skip)]
    pub trial: SiteTrial,
    /// Put it in place and switch it on.
    pub place: Vec<Command>,
    /// Have nginx check all of its configuration.
    pub test: Command,
    /// Have nginx use it.
    pub reload: Command,
    /// Have nginx print its configuration.
    #[serde(skip)]
    pub dump: Command,
    /// How it is known that nginx uses it; a project's own nginx.conf doesn't say.
    pub proof: Option<SiteProof>,
    /// What visitors are to see.
    pub visits: Visits,
    /// Put back the text that was there.
    #[serde(skip)]
    pub put_back: Command,
    /// Remove it again, where no text was there.
    #[serde(skip)]
    pub remove: Command,
    /// Switch it off again, where it wasn't switched on.
    #[serde(skip)]
    pub switch_off: Command,
}

/// What nginx answers once it uses a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteProof {
    /// Where nginx listens.
    pub address: String,
    /// A host name of the site.
    pub host: String,
    /// What it answers.
    #[serde(skip)]
    pub answer: String,
}

/// Visits to every host name of the project, through nginx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Visits {
    /// The host names.
    pub hosts: Vec<String>,
    /// The path that is asked for.
    pub path: String,
    /// The servers of the site, as far as nginx.conf can be understood.
    #[serde(skip)]
    pub servers: Vec<Server>,
    /// Headers that each request gets.
    #[serde(skip)]
    pub headers: Vec<String>,
}

impl fmt::Display for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hosts.as_slice() {
            [] => f.write_str("visit nothing: the site has no host name"),
            hosts => write!(f, "visit {} at {} through nginx", self.path, hosts.join(", ")),
        }
    }
}

/// The site that visitors come through once the app was upgraded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SiteInUse {
    /// There is none yet.
    None,
    /// The one that is in place already.
    InPlace(Visits),
    /// One that has to follow the app to another port at once.
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
            Self::None => f.write_str("no site is in place yet"),
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
        self.place.iter().chain([&self.test, &self.reload]).collect()
    }
}

impl fmt::Display for SiteInstallation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unchanged && self.proof.is_some() {
            return write!(f, "nothing to do if nginx serves {} as it is\n{}", self.path.display(), self.visits);
        }
        let commands = self.place.iter().chain([&self.test, &self.reload]);
        let commands: Vec<_> = commands.map(|command| format!("$ {command}")).collect();
        f.write_str(&commands.join("\n"))?;
        if let Some(proof) = &self.proof {
            write!(f, "\ncheck that nginx serves {} at {}", proof.host, proof.address)?;
        }
        write!(f, "\n{}", self.visits)
    }
}

/// How a site is tried before it replaces the one that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteTrial {
    /// `nginx -T` of the server.
    pub dump: Command,
    /// The site's link, as the server's nginx includes it.
    pub link: PathBuf,
    /// Where the text of the new site stands meanwhile.
    pub staged: PathBuf,
    /// The text.
    pub text: String,
    /// The configuration for the trial, in nginx's own folder, where relative paths mean the same.
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
    /// The path that they ask for.
    pub path: String,
    /// The app's port.
    pub port: u16,
    /// The project.
    pub project: String,
}
