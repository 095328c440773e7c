//! What Gatling does with root's rights.

use std::path::{Path, PathBuf};

use gatling_config::paths::ProjectPaths;
use gatling_config::slot::Slot;

use crate::steps::draft;

/// A pattern for the names that `ln -f` gives a link before it renames it.
pub const RANDOM_NAME: &str = "Cu[A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9]";

/// All commands that deployments of a project run as root, if another user deploys. `ids` are those of the user and its group.
#[must_use]
pub fn commands(paths: &ProjectPaths, ids: (u32, u32)) -> Vec<Vec<String>> {
    let mut list = List { paths, commands: Vec::new() };
    list.service();
    list.units();
    list.site();
    list.assets(ids);
    list.commands
}

struct List<'a> {
    paths: &'a ProjectPaths,
    commands: Vec<Vec<String>>,
}

impl List<'_> {
    fn add<const N: usize>(&mut self, command: [&str; N]) {
        let command = command.map(str::to_owned).to_vec();
        if !self.commands.contains(&command) {
            self.commands.push(command);
        }
    }

    /// The commands that install a file of the deploy dir, and remove what an interrupted run has left of that.
    fn file(&mut self, staged: &str, path: &Path, mode: &str) {
        let [staged, draft, path] = [&self.paths.deploy_dir().join(staged), &draft(path), path].map(text);
        self.add(["install", "-D", "-m", mode, &staged, &draft]);
        self.add(["ln", "-fT", &draft, &path]);
        self.add(["rm", "-f", &draft]);
        // `ln -f` makes a link with a random name first.
        let folder = Path::new(&path).parent().map(text).unwrap_or_default();
        self.add(["rm", "-f", &format!("{folder}/{RANDOM_NAME}")]);
    }

    fn remove(&mut self, paths: &[&Path]) {
        let files = paths.iter().map(text);
        self.commands.push(["rm", "-f"].map(str::to_owned).into_iter().chain(files).collect());
    }

    fn service(&mut self) {
        let name = self.paths.name.as_str();
        let script = self.paths.init_script();
        self.file("init-script", &script, "755");
        self.remove(&[&script]);
        for action in ["defaults", "remove"] {
            self.add(["update-rc.d", name, action]);
        }
        for action in ["start", "stop"] {
            self.add(["service", name, action]);
        }
        if let Some(path) = self.paths.logrotate_file() {
            self.file("logrotate", &path, "644");
            self.remove(&[&path]);
        }
    }

    fn units(&mut self) {
        let Some(files) = self.paths.unit_files() else { return };
        for file in &files {
            let name = file.file_name().unwrap_or_default().display();
            self.file(&format!("units/{name}"), file, "644");
        }
        let [boot, slots] = &files;
        let link = self.paths.unit_boot_link();
        self.add(["install", "-d", "-m", "755", &link.parent().map(text).unwrap_or_default()]);
        self.add(["ln", "-sT", &text(boot), &text(&link)]);
        self.remove(&[&link, boot, slots]);
        self.add(["systemctl", "daemon-reload"]);
        for slot in [Slot::Blue, Slot::Green] {
            self.add(["service", &self.paths.slot_unit(slot), "start"]);
        }
    }

    fn site(&mut self) {
        let (available, link) = (self.paths.nginx_available(), self.paths.nginx_enabled());
        for staged in ["nginx-site", "nginx-site.old"] {
            self.file(staged, &available, "644");
        }
        self.add(["ln", "-sT", &text(&available), &text(&link)]);
        self.remove(&[&available]);
        self.remove(&[&link]);
        self.remove(&[&link, &available]);
        let folder = &self.paths.roots.nginx_dir;
        let config: PathBuf = folder.join(format!("gatling-trial-{}.conf", self.paths.name));
        let draft = self.paths.deploy_dir().join("nginx-trial");
        self.add(["install", "-m", "644", &text(&draft), &text(&config)]);
        self.remove(&[&config]);
        let (trial, own) = (text(&config), text(folder.join("nginx.conf")));
        self.add(["nginx", "-c", &trial]);
        self.add(["nginx", "-c", &trial, "-t"]);
        self.add(["nginx", "-c", &trial, "-s", "stop"]);
        if self.paths.roots.uses_system_nginx() {
            self.add(["nginx", "-t"]);
            self.add(["nginx", "-T"]);
            self.add(["nginx", "-s", "reload"]);
        } else {
            self.add(["nginx", "-c", &own, "-t"]);
            self.add(["nginx", "-c", &own, "-T"]);
            self.add(["nginx", "-c", &own, "-s", "reload"]);
        }
    }

    fn assets(&mut self, (user, group): (u32, u32)) {
        let Some(folder) = self.paths.lib_dir() else { return };
        let folder = text(&folder);
        self.add(["install", "-d", "-m", "755", "-o", &user.to_string(), "-g", &group.to_string(), &folder]);
        self.add(["rm", "-rf", &folder]);
    }
}

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}
