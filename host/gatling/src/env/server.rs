//! What is there on the server, as far as a plan depends on it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use gatling_config::dotenv::Dotenv;
use gatling_config::roots::ProjectPaths;
use gatling_templates as templates;

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

impl ServerFacts {
    /// Looks at the server. `release_source` is the folder that the release is built from.
    ///
    /// # Errors
    /// None in practice: only if a template itself were broken.
    pub fn gather(paths: &ProjectPaths, release_source: &Path) -> Result<Self> {
        Ok(Self {
            sudo: needs_sudo(paths),
            has_systemd: Path::new("/run/systemd/system").is_dir(),
            ids: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            has_deploy_dir: paths.deploy_dir().is_dir(),
            has_lib_dir: paths.lib_dir().is_some_and(|folder| folder.is_dir()),
            init_script: fs::read_to_string(paths.init_script()).ok(),
            logrotate: paths.logrotate_file().map(|path| Logrotate::gather(paths, path)).transpose()?,
            site: SiteInPlace::gather(paths),
            serving_port: serving_port(paths),
            was_started: paths.pid_file().exists(),
            half_made: half_made(paths),
            has_migrate_script: release_source.join("rel/overlays/bin/migrate").is_file(),
        })
    }
}

impl Logrotate {
    fn gather(paths: &ProjectPaths, path: PathBuf) -> Result<Self> {
        Ok(Self {
            is_installed: path.parent().is_some_and(Path::is_dir),
            text: fs::read_to_string(&path).ok(),
            wanted: templates::logrotate(paths)?,
            path,
        })
    }
}

impl SiteInPlace {
    /// Looks what is in place.
    #[must_use]
    pub fn gather(paths: &ProjectPaths) -> Self {
        let (available, enabled) = (paths.nginx_available(), paths.nginx_enabled());
        let link = match fs::read_link(&enabled) {
            Ok(target) if target == available => Link::Right,
            _ if enabled.symlink_metadata().is_ok() => Link::Other,
            _ => Link::Missing,
        };
        Self { text: fs::read_to_string(available).ok(), link }
    }
}

/// The port that was noted for the release that serves.
pub(super) fn serving_port(paths: &ProjectPaths) -> Option<u16> {
    let noted = Dotenv::read(&paths.current_link().join("service.env")).unwrap_or_default();
    noted.get("GATLING_PORT").and_then(|port| port.parse().ok())
}

fn half_made(paths: &ProjectPaths) -> Vec<PathBuf> {
    let entries = fs::read_dir(paths.releases_dir()).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    folders.retain(|folder| !folder.join(paths.name.as_str()).exists());
    folders.sort();
    folders
}

/// Whether the system's folders are somebody else's.
pub(crate) fn needs_sudo(paths: &ProjectPaths) -> bool {
    let writable = |dir: &Path| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
    !rustix::process::geteuid().is_root() && !writable(&paths.roots.etc_dir)
}
