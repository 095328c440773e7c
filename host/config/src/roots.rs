//! The folders of this server that contain everything that Gatling reads and writes.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::paths::ProjectPaths;
use crate::project::ProjectName;

/// The environment variable that sets [`Roots::home`]. These variables let any user run Gatling without touching
/// the system's folders.
pub const HOME_VARIABLE: &str = "GATLING_HOME";
/// Sets [`Roots::etc_dir`].
pub const ETC_DIR_VARIABLE: &str = "GATLING_ETC_DIR";
/// Sets [`Roots::nginx_dir`].
pub const NGINX_DIR_VARIABLE: &str = "GATLING_NGINX_DIR";
/// Sets [`Roots::logrotate_dir`].
pub const LOGROTATE_DIR_VARIABLE: &str = "GATLING_LOGROTATE_DIR";
/// Sets [`Roots::lib_dir`].
pub const LIB_DIR_VARIABLE: &str = "GATLING_LIB_DIR";
/// Sets [`Roots::config`].
pub const CONFIG_VARIABLE: &str = "GATLING_CONFIG";

const DEFAULT_ETC_DIR: &str = "/etc/init.d";
const DEFAULT_NGINX_DIR: &str = "/etc/nginx";
const DEFAULT_LOGROTATE_DIR: &str = "/etc/logrotate.d";
const DEFAULT_LIB_DIR: &str = "/var/lib/gatling";
const DEFAULT_CONFIG: &str = "/etc/gatling/gatling.toml";

/// The folders of this server that contain everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// `GATLING_HOME`, or the user's home: contains `<project>/` and `deployments/<project>/`.
    pub home: PathBuf,
    /// `GATLING_ETC_DIR`, or `/etc/init.d`.
    pub etc_dir: PathBuf,
    /// `GATLING_NGINX_DIR`, or `/etc/nginx`.
    pub nginx_dir: PathBuf,
    /// `GATLING_LOGROTATE_DIR`, or `/etc/logrotate.d` if `etc_dir` is the system's: logrotate's configuration for
    /// the logs of apps.
    pub logrotate_dir: Option<PathBuf>,
    /// `GATLING_LIB_DIR`, or `/var/lib/gatling` if `etc_dir` is the system's: the files that nginx serves. Unlike
    /// a home folder, every user can enter it.
    pub lib_dir: Option<PathBuf>,
    /// `GATLING_CONFIG`, or `/etc/gatling/gatling.toml`: the operator's file.
    pub config: PathBuf,
}

impl Roots {
    /// Roots that are all in one folder, for tests.
    #[must_use]
    pub fn below(folder: &Path) -> Self {
        Self {
            home: folder.to_owned(),
            etc_dir: folder.join("init.d"),
            nginx_dir: folder.join("nginx"),
            logrotate_dir: None,
            lib_dir: None,
            config: folder.join("gatling.toml"),
        }
    }

    /// Reads the roots from the environment.
    ///
    /// # Errors
    /// When neither `GATLING_HOME` nor `HOME` is set, or the folder doesn't exist.
    pub fn from_environment() -> Result<Self> {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let Some(home) = variable(HOME_VARIABLE).or_else(|| variable("HOME")) else {
            bail!("neither {HOME_VARIABLE} nor HOME is set: set {HOME_VARIABLE} to the folder for projects");
        };
        // The init script compares this path with the paths of running programs, in which symlinks are resolved.
        let home = Path::new(&home).canonicalize().with_context(|| {
            format!("cannot find the home folder {}: create it, or set {HOME_VARIABLE}", home.display())
        })?;
        let path = |value: Option<OsString>, default: &str| {
            let path = value.map_or_else(|| PathBuf::from(default), PathBuf::from);
            std::path::absolute(&path).unwrap_or(path)
        };
        let etc_dir = path(variable(ETC_DIR_VARIABLE), DEFAULT_ETC_DIR);
        // With another folder for init scripts, Gatling leaves all of the system's folders alone.
        let is_system = etc_dir == Path::new(DEFAULT_ETC_DIR);
        let systems = |name: &str, default: &str| {
            variable(name).map(PathBuf::from).or_else(|| is_system.then(|| PathBuf::from(default)))
        };
        Ok(Self {
            home,
            logrotate_dir: systems(LOGROTATE_DIR_VARIABLE, DEFAULT_LOGROTATE_DIR),
            lib_dir: systems(LIB_DIR_VARIABLE, DEFAULT_LIB_DIR),
            etc_dir,
            nginx_dir: path(variable(NGINX_DIR_VARIABLE), DEFAULT_NGINX_DIR),
            config: path(variable(CONFIG_VARIABLE), DEFAULT_CONFIG),
        })
    }

    /// Whether init scripts are installed for the system.
    #[must_use]
    pub fn uses_system_init(&self) -> bool {
        self.etc_dir == Path::new(DEFAULT_ETC_DIR)
    }

    /// Whether sites are configured in the system's nginx.
    #[must_use]
    pub fn uses_system_nginx(&self) -> bool {
        self.nginx_dir == Path::new(DEFAULT_NGINX_DIR)
    }

    /// The roots as variables, for a program that must use the same roots.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, &Path)> {
        let mut variables = vec![
            (HOME_VARIABLE, self.home.as_path()),
            (ETC_DIR_VARIABLE, self.etc_dir.as_path()),
            (NGINX_DIR_VARIABLE, self.nginx_dir.as_path()),
            (CONFIG_VARIABLE, self.config.as_path()),
        ];
        variables.extend(self.logrotate_dir.as_deref().map(|dir| (LOGROTATE_DIR_VARIABLE, dir)));
        variables.extend(self.lib_dir.as_deref().map(|dir| (LIB_DIR_VARIABLE, dir)));
        variables
    }

    /// The cache of compiled hooks.
    #[must_use]
    pub fn cache_dir(&self) -> PathBuf {
        self.home.join(".gatling").join("cache")
    }

    /// The paths of one project.
    #[must_use]
    pub fn project(&self, name: &ProjectName) -> ProjectPaths {
        ProjectPaths { roots: self.clone(), name: name.clone() }
    }

    /// The projects that have been loaded on this server, sorted.
    #[must_use]
    pub fn loaded_projects(&self) -> Vec<ProjectName> {
        let Ok(entries) = std::fs::read_dir(self.home.join("deployments")) else { return Vec::new() };
        let mut names: Vec<_> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<ProjectName>().ok())
            .filter(|name| self.project(name).is_loaded())
            .collect();
        names.sort();
        names
    }
}
