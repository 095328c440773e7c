//! The mix that makes and builds Phoenix apps: Hex, and the generator of the wanted version.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use gatling_tests::{Sandbox, places};

use super::Release;
use crate::shell;

/// Variables of mix that say what is built, and how: they belong to another project than the app.
const OF_A_PROJECT: [&str; 6] =
    ["MIX_ENV", "MIX_TARGET", "MIX_EXS", "MIX_BUILD_PATH", "MIX_BUILD_ROOT", "MIX_DEPS_PATH"];

/// Variables by which programs find their way to other servers.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];

/// The programs of Elixir and Erlang.
const PROGRAMS: [&str; 3] = ["mix", "elixir", "erl"];

/// What mix needs to make the app, and to build it on the server too.
pub(crate) struct Toolchain {
    variables: Vec<(OsString, OsString)>,
}

impl Toolchain {
    /// The caller's own mix if it has the generator of this version; else Hex and the generator are
    /// installed below the target folder.
    pub(crate) fn find(release: Release) -> Result<Self> {
        let callers = Self { variables: callers_variables() };
        if callers.has_generator(release) {
            println!("Using the installed phx_new {release}");
            return Ok(callers);
        }
        let own = callers.in_folder(places::target_dir()?.join("phoenix").join(format!("mix-{release}")));
        if !own.has_generator(release) {
            own.install(release)?;
        }
        Ok(own)
    }

    /// Gives these variables, and the caller's rewrites of URLs, to everything in the sandbox. To be
    /// called before an ssh server is started.
    pub(crate) fn hand_to(&self, sandbox: &mut Sandbox) -> Result<()> {
        for (name, value) in url_rewrites()? {
            sandbox.git(sandbox.root(), &["config", "--global", "--add", &name, &value])?;
        }
        sandbox.add_variables(self.variables.iter().cloned());
        let git_config = ("GIT_CONFIG_GLOBAL".into(), sandbox.git_config().into());
        sandbox.add_variables([git_config]);
        Ok(())
    }

    /// As this one, but with what is installed in `folder`.
    fn in_folder(mut self, folder: PathBuf) -> Self {
        self.variables.retain(|(name, _)| !["MIX_HOME", "MIX_ARCHIVES", "HEX_HOME"].iter().any(|own| name == own));
        self.variables.push(("MIX_HOME".into(), folder.join("mix").into()));
        self.variables.push(("HEX_HOME".into(), folder.join("hex").into()));
        self
    }

    fn has_generator(&self, release: Release) -> bool {
        let output = self.mix(&["phx.new", "--version"]).stdin(Stdio::null()).stderr(Stdio::null()).output();
        let wanted = format!("Phoenix installer v{release}.");
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&wanted))
    }

    fn install(&self, release: Release) -> Result<()> {
        println!("Installing Hex, rebar3 and phx_new {release}:");
        let requirement = format!("~> {release}.0");
        for arguments in [
            &["local.hex", "--force"][..],
            &["local.rebar", "--force"],
            &["archive.install", "hex", "phx_new", &requirement, "--force"],
        ] {
            shell::show(&mut self.mix(arguments))?;
        }
        ensure!(self.has_generator(release), "phx_new {release} is still not to be found after installing it");
        Ok(())
    }

    fn mix(&self, arguments: &[&str]) -> Command {
        let mut mix = Command::new("mix");
        for name in OF_A_PROJECT.iter().chain(&["MIX_ARCHIVES"]) {
            mix.env_remove(name);
        }
        mix.args(arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        mix
    }
}

/// The folders of Elixir's and Erlang's programs, as the caller finds them.
pub(crate) fn program_folders() -> Result<Vec<PathBuf>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = Vec::new();
    for program in PROGRAMS {
        let folder = env::split_paths(&path).find(|folder| folder.join(program).is_file());
        let folder = folder.with_context(|| format!("there is no program {program} on the PATH"))?;
        let folder = fs::canonicalize(folder)?;
        if !found.contains(&folder) {
            found.push(folder);
        }
    }
    Ok(found)
}

fn callers_variables() -> Vec<(OsString, OsString)> {
    let is_mixs = |name: &str| {
        (name.starts_with("MIX_") || name.starts_with("HEX_")) && !OF_A_PROJECT.contains(&name)
            || PROXIES.contains(&name)
    };
    env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_mixs)).collect()
}

/// The caller's git settings that have git fetch from another place than a URL says. Phoenix apps
/// depend on repositories.
fn url_rewrites() -> Result<Vec<(String, String)>> {
    let mut git = Command::new("git");
    git.current_dir("/").args(["config", "--get-regexp", r"^url\..*\.insteadof$"]);
    // It ends with 1 where there are none.
    let output = git.stdin(Stdio::null()).output().context("starting git")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let settings = text.lines().filter_map(|line| line.split_once(' '));
    Ok(settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
