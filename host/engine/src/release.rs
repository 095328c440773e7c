//! The release that serves, for programs that are run beside it: in its folder, with its variables.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use gatling_config::dotenv::Dotenv;
use gatling_config::roots::ProjectPaths;
use gatling_process::find_program_on;

/// Variables that are for the app alone: a program beside it is not to serve, or to pass for it.
const OF_THE_APP: [&str; 2] = ["PHX_SERVER", "GATLING_DEPLOY_DIR"];

/// The release that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its folder, the one that has `bin/`.
    pub dir: PathBuf,
    /// The name of its program in `bin/`.
    pub program: String,
    /// The variables that it gets.
    variables: BTreeMap<String, String>,
}

impl Release {
    /// The current release of a project.
    ///
    /// # Errors
    /// When the project is not deployed, or its files can't be read.
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
                    "the current release of {name} is not in {}: bring it back with `gatling upgrade {name}`",
                    dir.display()
                )
            })?
            .uid();
        if owner != rustix::process::geteuid().as_raw() {
            bail!(
                "{name} belongs to the user with the id {owner}: run this as that user, with `sudo -u '#{owner}' -i`"
            );
        }
        let noted = Dotenv::read(&folder.join("service.env"))?;
        // Releases that older Gatlings made have no file of their own.
        let own = folder.join(".env");
        let dotenv = Dotenv::read(&if own.exists() { own } else { paths.dotenv() })?;
        let program = noted.get("GATLING_PROGRAM").unwrap_or(name.as_str()).to_owned();
        Ok(Self { dir, program, variables: variables(name.as_str(), &noted, &dotenv) })
    }

    /// Whether the running release can be reached: `remote` and `rpc` need the name of its node.
    #[must_use]
    pub fn is_distributed(&self) -> bool {
        self.variables.get("RELEASE_DISTRIBUTION").is_none_or(|distribution| distribution != "none")
    }

    /// The variables for a program beside the release, where there are `inherited` ones. `bin/` of
    /// the release comes first on the `PATH`.
    #[must_use]
    pub fn environment(&self, inherited: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<OsString, OsString> {
        let mut environment: BTreeMap<_, _> = inherited.collect();
        environment.entry("LANG".into()).or_insert_with(|| "C.UTF-8".into());
        environment.extend(self.variables.iter().map(|(name, value)| (name.into(), value.into())));
        for name in OF_THE_APP {
            environment.remove(OsStr::new(name));
        }
        let path = environment.remove(OsStr::new("PATH")).unwrap_or_default();
        let inherited = std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty());
        let folders = [self.dir.join("bin")].into_iter().chain(inherited);
        // A folder with a colon in its name can't be on the PATH.
        environment.insert("PATH".into(), std::env::join_paths(folders).unwrap_or(path));
        environment
    }

    /// Where a program is for somebody in the release's folder with this environment.
    #[must_use]
    pub fn find(&self, program: &str, environment: &BTreeMap<OsString, OsString>) -> Option<PathBuf> {
        find_program_on(environment.get(OsStr::new("PATH"))?, program, &self.dir)
    }
}

/// What the init script sets for the app, in the same order.
fn variables(project: &str, noted: &Dotenv, dotenv: &Dotenv) -> BTreeMap<String, String> {
    let node = format!("{project}@127.0.0.1");
    let before = [
        ("PHX_HOST", noted.get("GATLING_HOST").unwrap_or_default()),
        ("RELEASE_DISTRIBUTION", "name"),
        ("RELEASE_NODE", &node),
        ("ERL_EPMD_ADDRESS", "127.0.0.1"),
        ("ERL_AFLAGS", "-kernel inet_dist_use_interface {127,0,0,1}"),
    ];
    let after = noted.get("GATLING_PORT").map(|port| ("PORT", port));
    before.into_iter().chain(dotenv.iter()).chain(after).map(|(name, value)| (name.into(), value.into())).collect()
}

/// The init script that starts and stops a project, as people call it.
#[must_use]
pub fn service_command(paths: &ProjectPaths, action: &str) -> String {
    if paths.roots.etc_is_the_systems() {
        format!("sudo service {} {action}", paths.name)
    } else {
        format!("{} {action}", gatling_process::shell::word(&text(&paths.init_script())))
    }
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
        let file = |name: &str| home.path().join(name);
        let roots = Roots {
            home: home.path().to_owned(),
            etc_dir: file("etc"),
            nginx_dir: file("nginx"),
            logrotate_dir: None,
            lib_dir: None,
            config: file("config"),
        };
        let paths = roots.project(&"shop".parse().expect("a name"));
        let release = paths.releases_dir().join("0.1.0");
        fs::create_dir_all(release.join("shop/bin")).expect("folders");
        std::os::unix::fs::symlink("releases/0.1.0", paths.current_link()).expect("a symlink");
        for (name, text) in files {
            fs::write(release.join(name), text).expect("it is written");
        }
        (home, paths)
    }

    const NOTED: (&str, &str) =
        ("service.env", "GATLING_PROGRAM='web'\nGATLING_PORT='4001'\nGATLING_HOST='www.example.com'\n");

    fn environment(release: &Release, inherited: &[(&str, &str)]) -> BTreeMap<String, String> {
        let inherited = inherited.iter().map(|(name, value)| (name.into(), value.into()));
        let text = |text: OsString| text.into_string().expect("text");
        release.environment(inherited).into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn a_program_beside_the_release_gets_what_the_init_script_gives_the_app() {
        let (_home, paths) = deployed(&[NOTED, (".env", "SECRET='it''s'\nPORT='1'\n")]);
        let release = Release::current(&paths).expect("it is deployed");

        let environment = environment(&release, &[("PATH", "/usr/bin:/bin"), ("TERM", "xterm")]);

        let bin = format!("{}/releases/0.1.0/shop/bin", paths.deploy_dir().display());
        let expected = [
            ("ERL_AFLAGS", "-kernel inet_dist_use_interface {127,0,0,1}"),
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
    fn the_variables_of_the_release_win_over_inherited_ones_and_over_the_defaults() {
        let (_home, paths) = deployed(&[NOTED, (".env", "RELEASE_NODE=a@b\nPHX_HOST=c\nLANG=de_DE.UTF-8\n")]);
        let release = Release::current(&paths).expect("it is deployed");
        let environment =
            environment(&release, &[("RELEASE_NODE", "x"), ("PORT", "2"), ("LANG", "C"), ("PHX_HOST", "y")]);
        for (name, value) in [("RELEASE_NODE", "a@b"), ("PHX_HOST", "c"), ("PORT", "4001"), ("LANG", "de_DE.UTF-8")] {
            assert_eq!(environment[name], value);
        }
    }

    #[test]
    fn no_program_beside_the_release_is_told_to_serve_or_passes_for_the_app() {
        let (_home, paths) = deployed(&[NOTED, (".env", "PHX_SERVER=true\n")]);
        let release = Release::current(&paths).expect("it is deployed");
        let environment = environment(&release, &[("PHX_SERVER", "true"), ("GATLING_DEPLOY_DIR", "/x")]);
        assert!(!environment.contains_key("PHX_SERVER") && !environment.contains_key("GATLING_DEPLOY_DIR"));
    }

    #[test]
    fn a_release_without_a_file_of_its_own_gets_the_variables_of_the_project() {
        let (_home, paths) = deployed(&[NOTED]);
        fs::write(paths.dotenv(), "A=project\n").expect("it is written");
        let release = Release::current(&paths).expect("it is deployed");
        assert_eq!(environment(&release, &[])["A"], "project");

        fs::write(paths.releases_dir().join("0.1.0/.env"), "A=release\n").expect("it is written");
        let release = Release::current(&paths).expect("it is deployed");
        assert_eq!(environment(&release, &[])["A"], "release");
    }

    #[test]
    fn only_a_release_that_is_not_told_otherwise_can_be_reached() {
        for (dotenv, reachable) in
            [("", true), ("RELEASE_DISTRIBUTION=sname\n", true), ("RELEASE_DISTRIBUTION=none\n", false)]
        {
            let (_home, paths) = deployed(&[NOTED, (".env", dotenv)]);
            assert_eq!(Release::current(&paths).expect("it is deployed").is_distributed(), reachable, "{dotenv}");
        }
    }

    #[test]
    fn what_is_not_deployed_says_how_to_deploy_it_and_what_is_gone_how_to_bring_it_back() {
        let (_home, paths) = deployed(&[NOTED]);
        fs::remove_dir_all(paths.releases_dir()).expect("it is removed");
        let error = format!("{:#}", Release::current(&paths).expect_err("it is gone"));
        assert!(error.contains("gatling upgrade shop") && error.contains("0.1.0"), "{error}");

        fs::remove_file(paths.current_link()).expect("it is removed");
        let error = format!("{:#}", Release::current(&paths).expect_err("it is not deployed"));
        assert!(error.contains("shop is not deployed yet") && error.contains("gatling deploy shop"), "{error}");
    }
}
