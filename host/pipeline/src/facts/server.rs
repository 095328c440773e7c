//! The state of the server, as far as a plan depends on it.

use std::path::PathBuf;

use gatling_config::slot::Slot;

/// The state of the server before a run changes anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// Whether commands that change the system go through sudo.
    pub sudo: bool,
    /// Whether systemd runs here.
    pub has_systemd: bool,
    /// Whether systemd runs here, and does not know that the app of this project runs.
    pub must_tell_systemd: bool,
    /// The ids of the user and the group that deploy.
    pub ids: (u32, u32),
    /// Whether the deploy dir exists.
    pub has_deploy_dir: bool,
    /// Whether the folder that nginx reads exists.
    pub has_lib_dir: bool,
    /// The text of the installed init script.
    pub init_script: Option<String>,
    /// Whether the installed init script is not called at boot, and should be.
    pub is_not_enabled: bool,
    /// systemd's units, if services are installed for the system and systemd runs.
    pub units: Option<Units>,
    /// logrotate's settings for the app's log, if services are installed for the system.
    pub logrotate: Option<Logrotate>,
    /// The installed site.
    pub site: InstalledSite,
    /// The place of the current release.
    pub serves_in: Option<Place>,
    /// The names of all releases that were ever started.
    pub names: Vec<String>,
    /// Copies of system files that an interrupted run has left beside them.
    pub drafts: Vec<PathBuf>,
    /// Folders of releases that were never completed.
    pub incomplete_releases: Vec<PathBuf>,
    /// Whether the source of the release has a `bin/migrate`, as `mix phx.gen.release` writes it.
    pub has_migrate_script: bool,
}

/// systemd's units of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// The unit that starts the release which serves at boot, and the template of the unit of each slot.
    pub files: [UnitFile; 2],
    /// The symlink by which systemd starts the first one at boot.
    pub boot_path: PathBuf,
    /// The state of this symlink.
    pub boot_link: Link,
    /// A unit with the name of one of them that Gatling did not write.
    pub foreign: Option<PathBuf>,
    /// Whether systemd has yet to read a file that has changed.
    pub needs_reload: bool,
}

/// One unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitFile {
    /// Its file.
    pub path: PathBuf,
    /// The current text of the file.
    pub text: Option<String>,
    /// The text that it should have.
    pub wanted: String,
    /// Whether the project has a file for it.
    pub is_the_projects: bool,
}

/// logrotate's settings for the app's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logrotate {
    /// The file with the settings.
    pub path: PathBuf,
    /// Whether logrotate is installed.
    pub is_installed: bool,
    /// The current text of the file.
    pub text: Option<String>,
    /// The text that it should have.
    pub wanted: String,
}

/// The site that is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstalledSite {
    /// Its text.
    pub text: Option<String>,
    /// The symlink that enables it.
    pub link: Link,
}

/// The state of a symlink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// It does not exist.
    #[default]
    Missing,
    /// It points to the right file.
    Correct,
    /// Something else has its name.
    Other,
}

/// Where a release runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Its slot.
    pub slot: Slot,
    /// Its port.
    pub port: u16,
    /// The port of the other slot, if it has one.
    pub other_port: Option<u16>,
    /// [`SlotPorts::token`](gatling_config::slot::SlotPorts::token), if there is one.
    pub token: Option<String>,
}
