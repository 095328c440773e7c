//! The current release, for programs that run next to it: in its folder, with its variables.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use gatling_config::dotenv::Dotenv;
use gatling_config::paths::ProjectPaths;
use gatling_process::find_program_on;

/// Variables that only the app gets: another program must not start the web server or be mistaken for the app.
const APP_ONLY_VARIABLES: [&str; 5] =
    ["PHX_SERVER", "GATLING_DEPLOY_DIR", "GATLING_RELEASE", "GATLING_DRAIN_SECONDS", "GATLING_PID"];

/// The current release of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its folder, which contains `bin/`.
    pub dir: PathBuf,
    /// The name of its program in `bin/`.
    pub program: String,
    /// Its environment variables.
    variables: BTreeMap<String, String>,
}

impl Release {
    /// The current release of a project.
    ///
    /// # Errors
    /// If the project is not deployed, or its files cannot be read.
    pub fn current(paths: &ProjectPaths) -> Result<Self> {
        let name = &paths.name;
        let Some(version) = paths.current_release() else {
            bail!("{name} is not deployed yet: push it, or deploy what was pushed with `gatling deploy {name}`");
        };
        let folder = paths.releases_dir().join(&version);
        let dir = folder.join(name.as_str());
        let owner = fs::metadata(&dir)
            .with_context(|| {
                format!(
                    "the current release of {name} is missing from {}: deploy it again with `gatling upgrade {name}`",
                    dir.display()
                )
            })?
            .uid();
        if owner != rustix::process::geteuid().as_raw() {
            bail!(
                "{name} belongs to the user with the id {owner}: run this as that user, with `sudo -u '#{owner}' -i`"
            );
        }
        let settings = Dotenv::read(&folder.join("service.env"))?;
        // Releases of older versions of Gatling have no `.env`.
        let own = folder.join(".env");
        let dotenv = Dotenv::read(&if own.exists() { own } else { paths.dotenv() })?;
        let program = settings.get("GATLING_PROGRAM").unwrap_or(name.as_str()).to_owned();
        Ok(Self { dir, program, variables: variables(name.as_str(), &settings, &dotenv) })
    }

    /// Whether `remote` and `rpc` can connect to the running release: they need the name of its node.
    #[must_use]
    pub fn is_distributed(&self) -> bool {
        self.variables.get("RELEASE_DISTRIBUTION").is_none_or(|distribution| distribution != "none")
    }

    /// The variables for a program that runs next to the release, based on `inherited` ones. The release's `bin/` is
    /// first on the `PATH`.
    #[must_use]
    pub fn environment(&self, inherited: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<OsString, OsString> {
        let mut environment: BTreeMap<_, _> = inherited.collect();
        environment.entry("LANG".into()).or_insert_with(|| "C.UTF-8".into());
        environment.extend(self.variables.iter().map(|(name, value)| (name.into(), value.into())));
        for name in APP_ONLY_VARIABLES {
            environment.remove(OsStr::new(name));
        }
        let path = environment.remove(OsStr::new("PATH")).unwrap_or_default();
        let inherited = std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty());
        let folders = [self.dir.join("bin")].into_iter().chain(inherited);
        // A folder with a colon in its name cannot be on the PATH.
        environment.insert("PATH".into(), std::env::join_paths(folders).unwrap_or(path));
        environment
    }

    /// The path of a program, searched from the release's folder with this environment.
    #[must_use]
    pub fn find(&self, program: &str, environment: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
        find_program_on(environment.get(OsStr::new("PATH"))?, program, &self.dir)
    }
}

/// The variables that the init script sets for the app, in the same order.
fn variables(project: &str, settings: &Dotenv, dotenv: &Dotenv) -> BTreeMap<String, String> {
    let node = format!("{project}@127.0.0.1");
    let before = [
        ("PHX_HOST", settings.get("GATLING_HOST").unwrap_or_default()),
        ("RELEASE_DISTRIBUTION", "name"),
        ("RELEASE_NODE", &node),
        ("ERL_EPMD_ADDRESS", "127.0.0.1"),
        ("ERL_AFLAGS", "-kernel inet_dist_use_interface {127,0,0,1} -shutdown_time 30000"),
    ];
    let after = settings.get("GATLING_PORT").map(|port| ("PORT", port));
    before.into_iter().chain(dotenv.iter()).chain(after).map(|(name, value)| (name.into(), value.into())).collect()
}

/// The command by which users call the init script: root, and the user who deploys.
#[must_use]
pub fn service_command(paths: &ProjectPaths, action: &str) -> String {
    format!("{} {action}", gatling_process::shell::word(&text(&paths.init_script())))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatling_config::roots::Roots;
    use tempfile::TempDir;

    /// A home in which `shop` is deployed, with these files in the folder of its release.
    fn deployed(files: &[(&str, &str)]) -> (TempDir, ProjectPaths) {
        let home = tempfile::tempdir().expect("a folder");
        let roots = Roots::below(home.path());
        let paths = roots.project(&"shop".parse().expect("a name"));
        let release = paths.releases_dir().join("0.1.0");
        fs::create_dir_all(release.join("shop/bin")).expect("folders");
        std::os::unix::fs::symlink("releases/0.1.0", paths.current_link()).expect("a symlink");
        for (name, text) in files {
            fs::write(release.join(name), text).expect("it is written");
        }
        (home, paths)
    }

    const SETTINGS: (&str, &str) =
        ("service.env", "GATLING_PROGRAM='web'\nGATLING_PORT='4001'\nGATLING_HOST='www.example.com'\n");

    fn environment(release: &Release, inherited: &[(&str, &str)]) -> BTreeMap<String, String> {
        let inherited = inherited.iter().map(|(name, value)| (name.into(), value.into()));
        let text = |text: OsString| text.into_string().expect("text");
        release.environment(inherited).into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn a_program_gets_the_variables_that_the_init_script_gives_the_app() {
        let (_home, paths) = deployed(&[SETTINGS, (".env", "SECRET='it''s'\nPORT='1'\n")]);
        let release = Release::current(&paths).expect("it is deployed");

        let environment = environment(&release, &[("PATH", "/usr/bin:/bin"), ("TERM", "xterm")]);

        let bin = format!("{}/releases/0.1.0/shop/bin", paths.deploy_dir().display());
        let expected = [
            ("ERL_AFLAGS", "-kernel inet_dist_use_interface {127,0,0,1} -shutdown_time 30000"),
            ("ERL_EPMD_ADDRESS", "127.0.0.1"),
            ("LANG", "C.UTF-8"),
            ("PATH", &format!("{bin}:/usr/bin:/bin")),
            ("PHX_HOST", "www.example.com"),
            ("PORT", "4001"),
            ("RELEASE_DISTRIBUTION", "name"),
            ("RELEASE_NODE", "shop@127.0.0.1"),
            ("SECRET", "its"),
            ("TERM", "xterm"),
        ];
        assert_eq!(environment, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(release.program, "web");
    }

    #[test]
    fn the_variables_of_the_release_override_inherited_ones_and_defaults() {
        let (_home, paths) = deployed(&[SETTINGS, (".env", "RELEASE_NODE=a@b\nPHX_HOST=c\nLANG=de_DE.UTF-8\n")]);
        let release = Release::current(&paths).expect("it is deployed");
        let environment =
            environment(&release, &[("RELEASE_NODE", "x"), ("PORT", "2"), ("LANG", "C"), ("PHX_HOST", "y")]);
        for (name, value) in [("RELEASE_NODE", "a@b"), ("PHX_HOST", "c"), ("PORT", "4001"), ("LANG", "de_DE.UTF-8")] {
            assert_eq!(environment[name], value);
        }
    }

    #[test]
    fn a_program_does_not_get_the_variables_that_only_the_app_gets() {
        let (_home, paths) = deployed(&[SETTINGS, (".env", "PHX_SERVER=true\n")]);
        let release = Release::current(&paths).expect("it is deployed");
        let environment =
            environment(&release, &[("PHX_SERVER", "true"), ("GATLING_DEPLOY_DIR", "/x"), ("GATLING_PID", "1")]);
        for name in APP_ONLY_VARIABLES {
            assert!(!environment.contains_key(name), "{name}");
        }
    }

    #[test]
    fn a_release_without_its_own_env_file_gets_the_variables_of_the_project() {
        let (_home, paths) = deployed(&[SETTINGS]);
        fs::write(paths.dotenv(), "A=project\n").expect("it is written");
        let release = Release::current(&paths).expect("it is deployed");
        assert_eq!(environment(&release, &[])["A"], "project");

        fs::write(paths.releases_dir().join("0.1.0/.env"), "A=release\n").expect("it is written");
        let release = Release::current(&paths).expect("it is deployed");
        assert_eq!(environment(&release, &[])["A"], "release");
    }

    #[test]
    fn a_release_is_distributed_unless_its_variables_disable_it() {
        for (dotenv, reachable) in
            [("", true), ("RELEASE_DISTRIBUTION=sname\n", true), ("RELEASE_DISTRIBUTION=none\n", false)]
        {
            let (_home, paths) = deployed(&[SETTINGS, (".env", dotenv)]);
            assert_eq!(Release::current(&paths).expect("it is deployed").is_distributed(), reachable, "{dotenv}");
        }
    }

    #[test]
    fn errors_say_how_to_deploy_a_project_and_how_to_recover_a_missing_release() {
        let (_home, paths) = deployed(&[SETTINGS]);
        fs::remove_dir_all(paths.releases_dir()).expect("it is removed");
        let error = format!("{:#}", Release::current(&paths).expect_err("it is gone"));
        assert!(error.contains("gatling upgrade shop") && error.contains("0.1.0"), "{error}");

        fs::remove_file(paths.current_link()).expect("it is removed");
        let error = format!("{:#}", Release::current(&paths).expect_err("it is not deployed"));
        assert!(error.contains("shop is not deployed yet") && error.contains("gatling deploy shop"), "{error}");
    }
}
