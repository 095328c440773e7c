//! The folders and files of one project.

use std::path::{Path, PathBuf};

use crate::project::ProjectName;
use crate::roots::Roots;
use crate::slot::Slot;

const UNIT_DIR: &str = "/etc/systemd/system";

/// The folders and files of one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectPaths {
    /// The roots that contain all paths.
    pub roots: Roots,
    /// The project.
    pub name: ProjectName,
}

impl ProjectPaths {
    /// The repository, with the pushed commit checked out. mix runs here.
    #[must_use]
    pub fn build_dir(&self) -> PathBuf {
        self.roots.home.join(self.name.as_str())
    }

    /// The folder of the deployed app.
    #[must_use]
    pub fn deploy_dir(&self) -> PathBuf {
        self.roots.home.join("deployments").join(self.name.as_str())
    }

    /// The folder of releases, with one folder for each.
    #[must_use]
    pub fn releases_dir(&self) -> PathBuf {
        self.deploy_dir().join("releases")
    }

    /// The symlink to the release that serves.
    #[must_use]
    pub fn current_link(&self) -> PathBuf {
        self.deploy_dir().join("current")
    }

    /// The program in Elixir with which a release is upgraded in place.
    #[must_use]
    pub fn in_place_program(&self) -> PathBuf {
        self.deploy_dir().join("in-place.exs")
    }

    /// The program in Elixir that counts the errors that visitors get.
    #[must_use]
    pub fn soak_program(&self) -> PathBuf {
        self.deploy_dir().join("soak.exs")
    }

    /// The file that exists once a first deployment has started the app.
    #[must_use]
    pub fn deployed_marker(&self) -> PathBuf {
        self.deploy_dir().join("deployed")
    }

    /// The file that exists while the first deployment is not complete: some of its steps or hooks have yet to run.
    #[must_use]
    pub fn deploying_marker(&self) -> PathBuf {
        self.deploy_dir().join("deploying")
    }

    /// The file that records which releases have served, one per line, in order.
    #[must_use]
    pub fn served_file(&self) -> PathBuf {
        self.deploy_dir().join("served")
    }

    /// The releases that have served, in the order in which they last did.
    #[must_use]
    pub fn served(&self) -> Vec<String> {
        let names = match std::fs::read_to_string(self.served_file()) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            // Deployed by an older Gatling, without this file.
            Err(_) => self.releases_by_time(),
        };
        let mut served: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            served.retain(|other| *other != name);
            served.push(name);
        }
        served
    }

    /// The file that records the names of all releases that were ever started, one per line. None is used again.
    #[must_use]
    pub fn names_file(&self) -> PathBuf {
        self.deploy_dir().join("names")
    }

    /// The names of all releases that were ever started, as far as they are known.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.names_file()).unwrap_or_default();
        let mut names: Vec<_> = text.lines().map(str::to_owned).collect();
        for served in self.served() {
            if !names.contains(&served) {
                names.push(served);
            }
        }
        names
    }

    fn releases_by_time(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.releases_dir()).into_iter().flatten().flatten();
        let mut releases: Vec<_> = entries
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.file_name().into_string().ok()?)))
            .collect();
        releases.sort();
        releases.into_iter().map(|(_, name)| name).collect()
    }

    /// The file that holds the process id of the running app.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.deploy_dir().join("run").join(format!("{}.pid", self.name))
    }

    /// The file that a run of the project locks.
    #[must_use]
    pub fn run_lock(&self) -> PathBuf {
        self.state_dir().join("lock")
    }

    /// When which release was started again because it had died: a time in seconds since 1970 and a name in each line. The init
    /// script writes it.
    #[must_use]
    pub fn restarts_file(&self) -> PathBuf {
        self.deploy_dir().join("log").join("restarts")
    }

    /// The file that the init script locks while it starts, stops or switches releases.
    #[must_use]
    pub fn service_lock(&self) -> PathBuf {
        self.deploy_dir().join("run").join("lock")
    }

    /// The app's environment variables.
    #[must_use]
    pub fn dotenv(&self) -> PathBuf {
        self.deploy_dir().join(".env")
    }

    /// The standard output and standard error of the app in a slot. Both slots have a log of their own, so that the last
    /// lines of a release that does not start are not those of the one that serves.
    #[must_use]
    pub fn app_log(&self, slot: Slot) -> PathBuf {
        let name = match slot {
            Slot::Blue => format!("{}.log", self.name),
            Slot::Green => format!("{}-green.log", self.name),
        };
        self.deploy_dir().join("log").join(name)
    }

    /// Gatling's own records of this project: its lock and its runs. `unload` keeps them.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.roots.home.join(".gatling").join(self.name.as_str())
    }

    /// The git hook in the project's repository.
    #[must_use]
    pub fn git_hook(&self) -> PathBuf {
        self.build_dir().join(".git").join("hooks").join("post-update")
    }

    /// The git hook in the project's repository that git runs before it accepts a push.
    #[must_use]
    pub fn pre_receive_hook(&self) -> PathBuf {
        self.build_dir().join(".git").join("hooks").join("pre-receive")
    }

    /// The init script.
    #[must_use]
    pub fn init_script(&self) -> PathBuf {
        self.roots.etc_dir.join(self.name.as_str())
    }

    /// The names of systemd's units: the one that starts the release which serves at boot, and the template for the slots.
    #[must_use]
    pub fn unit_names(&self) -> [String; 2] {
        [format!("{}.service", self.name), format!("{}@.service", self.name)]
    }

    /// systemd's unit of a slot, without the suffix `.service`.
    #[must_use]
    pub fn slot_unit(&self, slot: Slot) -> String {
        format!("{}@{}", self.name, slot.name())
    }

    /// The files of systemd's units, in the order of [`Self::unit_names`], if services are installed for the system.
    #[must_use]
    pub fn unit_files(&self) -> Option<[PathBuf; 2]> {
        let folder = Path::new(UNIT_DIR);
        self.roots.uses_system_init().then(|| self.unit_names().map(|name| folder.join(name)))
    }

    /// The symlink by which systemd starts the first of [`Self::unit_files`] at boot.
    #[must_use]
    pub fn unit_boot_link(&self) -> PathBuf {
        let [boot, _] = self.unit_names();
        Path::new(UNIT_DIR).join("multi-user.target.wants").join(boot)
    }

    /// logrotate's configuration for the app's log, if logrotate is used.
    #[must_use]
    pub fn logrotate_file(&self) -> Option<PathBuf> {
        // logrotate ignores file names that contain a dot.
        Some(self.roots.logrotate_dir.as_ref()?.join(self.name.as_str().replace('.', "_")))
    }

    /// The folder with the files of this project that nginx serves, if there is one.
    #[must_use]
    pub fn lib_dir(&self) -> Option<PathBuf> {
        Some(self.roots.lib_dir.as_ref()?.join(self.name.as_str()))
    }

    /// The digested assets of the kept releases, for nginx.
    #[must_use]
    pub fn assets_dir(&self) -> Option<PathBuf> {
        Some(self.lib_dir()?.join("static"))
    }

    /// The file whose existence makes nginx pass requests to the green slot, if the project has a folder that nginx
    /// reads.
    #[must_use]
    pub fn green_flag(&self) -> Option<PathBuf> {
        Some(self.lib_dir()?.join("green"))
    }

    /// The slot that nginx passes requests to.
    #[must_use]
    pub fn live_slot(&self) -> Slot {
        if self.green_flag().is_some_and(|flag| flag.exists()) { Slot::Green } else { Slot::Blue }
    }

    /// The page that nginx shows instead of the app while it exists, if the project has a folder that nginx reads.
    #[must_use]
    pub fn maintenance_page(&self) -> Option<PathBuf> {
        Some(self.lib_dir()?.join("maintenance"))
    }

    /// The site's file in nginx's configuration.
    #[must_use]
    pub fn nginx_available(&self) -> PathBuf {
        self.roots.nginx_dir.join("sites-available").join(self.name.as_str())
    }

    /// The symlink that enables the site.
    #[must_use]
    pub fn nginx_enabled(&self) -> PathBuf {
        self.roots.nginx_dir.join("sites-enabled").join(self.name.as_str())
    }

    /// Whether `gatling load` has created the project.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.build_dir().join(".git").is_dir() && self.deploy_dir().is_dir()
    }

    /// Whether parts of the project exist, such as after an `unload` that failed.
    #[must_use]
    pub fn is_partly_loaded(&self) -> bool {
        self.build_dir().join(".git").is_dir() || self.deploy_dir().is_dir()
    }

    /// Whether a first deployment has started the app.
    #[must_use]
    pub fn is_deployed(&self) -> bool {
        self.deployed_marker().is_file() && self.current_release().is_some()
    }

    /// Whether all steps and hooks of the first deployment have run.
    #[must_use]
    pub fn is_deployment_complete(&self) -> bool {
        self.is_deployed() && !self.deploying_marker().exists()
    }

    /// The name of the release that serves.
    #[must_use]
    pub fn current_release(&self) -> Option<String> {
        let target = std::fs::read_link(self.current_link()).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }
}
