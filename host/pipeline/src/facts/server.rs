//! What is there on the server, as far as a plan depends on it.

use std::path::PathBuf;

/// What is there on the server before a run changes anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// Whether commands that change the system go through sudo.
    pub sudo: bool,
    /// Whether systemd runs here.
    pub has_systemd: bool,
    /// The ids of the user and the group that deploy.
    pub ids: (u32, u32),
    /// Whether the deploy dir is there.
    pub has_deploy_dir: bool,
    /// Whether the folder that nginx reads is there.
    pub has_lib_dir: bool,
    /// The init script that is in place.
    pub init_script: Option<String>,
    /// How logrotate stands to the app's log, where services are the system's.
    pub logrotate: Option<Logrotate>,
    /// The site that is in place.
    pub site: SiteInPlace,
    /// The port of the release that serves.
    pub serving_port: Option<u16>,
    /// Whether the app has been started at some time, as its pid file says.
    pub was_started: bool,
    /// The folders of releases that no release ever came into.
    pub half_made: Vec<PathBuf>,
    /// Whether the source of the release has a `bin/migrate`, as `mix phx.gen.release` writes it.
    pub has_migrate_script: bool,
}

/// What logrotate is told of the app's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logrotate {
    /// Where it is told.
    pub path: PathBuf,
    /// Whether there is a logrotate.
    pub is_installed: bool,
    /// What it is told now.
    pub text: Option<String>,
    /// What it is to be told.
    pub wanted: String,
}

/// The site as it is in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteInPlace {
    /// Its text.
    pub text: Option<String>,
    /// What the link that switches it on leads to.
    pub link: Link,
}

/// What is in the place of a symlink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// Nothing.
    #[default]
    Missing,
    /// The link.
    Right,
    /// Something else.
    Other,
}
