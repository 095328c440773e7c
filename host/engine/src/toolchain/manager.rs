//! mise and asdf: version managers that install Elixir and Erlang for a user.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::required::RequiredVersions;
use gatling_process::find_program_on;

/// The variable that names the folders whose files mise trusts.
const TRUST_VARIABLE: &str = "MISE_TRUSTED_CONFIG_PATHS";

/// A version manager that is installed for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Its name.
    pub name: ManagerName,
    /// The folders with its programs, if it has an Elixir.
    pub folders: Vec<PathBuf>,
}

/// The version managers that Gatling knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagerName {
    /// <https://mise.jdx.dev>.
    Mise,
    /// <https://asdf-vm.com>.
    Asdf,
}

impl fmt::Display for ManagerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mise => "mise",
            Self::Asdf => "asdf",
        })
    }
}

/// The version managers that are installed for the user with this home, in the order of their folders on the `PATH`.
#[must_use]
pub fn managers(home: &Path) -> Vec<Manager> {
    managers_in(home, &|name| env::var_os(name).filter(|value| !value.is_empty()))
}

/// The version managers that are installed for the current user.
#[must_use]
pub fn managers_of_current_user() -> Vec<Manager> {
    env::home_dir().map(|home| managers(&home)).unwrap_or_default()
}

/// The folders to put before the `PATH` of every mix command: those with the programs that mise and asdf installed
/// for the user with this home, if they contain an `elixir`.
#[must_use]
pub fn shims(home: &Path) -> Vec<PathBuf> {
    managers(home).into_iter().flat_map(|manager| manager.folders).collect()
}

/// The variable that makes mise trust the project's files, for every mix command. This grants nothing new: mix runs
/// the project's code anyway.
#[must_use]
pub fn mise_trust(build_dir: &Path) -> (&'static str, OsString) {
    (TRUST_VARIABLE, trusted(env::var_os(TRUST_VARIABLE).as_deref(), build_dir))
}

fn trusted(already: Option<&OsStr>, build_dir: &Path) -> OsString {
    let already = already.into_iter().flat_map(env::split_paths).filter(|path| !path.as_os_str().is_empty());
    let folders: Vec<_> = already.filter(|path| path != build_dir).chain([build_dir.to_owned()]).collect();
    // A project's name has no colon. If the home has one, mise cannot be told to trust it.
    env::join_paths(folders).unwrap_or_default()
}

pub(super) fn managers_in(home: &Path, variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<Manager> {
    let path = |name: &str| variable(name).map(PathBuf::from);
    let data = path("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
    let mise = path("MISE_DATA_DIR").unwrap_or_else(|| data.join("mise"));
    let asdf = path("ASDF_DATA_DIR").unwrap_or_else(|| home.join(".asdf"));
    let search_path = variable("PATH").unwrap_or_default();
    let runnable = |path: &Path| find_program_on(&search_path, &path.to_string_lossy(), Path::new("/")).is_some();
    [(ManagerName::Mise, mise), (ManagerName::Asdf, asdf)]
        .into_iter()
        .filter(|(name, data)| {
            let program = name.to_string();
            data.is_dir() || runnable(&home.join(".local/bin").join(&program)) || runnable(Path::new(&program))
        })
        .map(|(name, data)| {
            let shims = data.join("shims");
            let mut folders = Vec::new();
            if runnable(&shims.join("elixir")) {
                folders.push(shims);
                // asdf's shims look for asdf on the PATH, which is short for a push over ssh.
                let own = [data.join("bin"), home.join(".local/bin")];
                let own = own.into_iter().find(|folder| runnable(&folder.join("asdf")));
                folders.extend(own.filter(|_| name == ManagerName::Asdf));
            }
            Manager { name, folders }
        })
        .collect()
}

/// How to install a newer Elixir or Erlang.
pub(super) fn how_to_install(required: &RequiredVersions, managers: &[Manager]) -> String {
    let folder = required.build_dir.display();
    let is_pinned = !required.pins.is_empty();
    match managers.first().map(|manager| manager.name) {
        Some(name) if is_pinned => format!(
            "Install these versions on the server, as the user that deploys, with `{name} install` in {folder}; then push \
             again"
        ),
        Some(ManagerName::Mise) => "Install a matching version on the server, as the user that deploys, for example \
             with `mise use -g erlang@27 elixir@1.18`; then push again"
            .to_owned(),
        Some(ManagerName::Asdf) => "Install a matching version on the server, as the user that deploys, with \
             `asdf install elixir VERSION` and `asdf set --home elixir VERSION`; then push again"
            .to_owned(),
        None => "Debian 12 (bookworm) has Elixir 1.14.0 on Erlang/OTP 25, Debian 13 (trixie) has Elixir 1.18.3 on \
             Erlang/OTP 27. For any other version, install mise (https://mise.jdx.dev) on the server, as the user that \
             deploys, and run `mise use -g erlang@27 elixir@1.18`; then push again"
            .to_owned(),
    }
}

/// What to do if the output `said` is the error of a version manager's shim that has no version to run.
#[must_use]
pub fn remedy(said: &str, build_dir: &Path) -> Option<String> {
    let says = |part: &str| said.lines().any(|line| line.contains(part));
    let folder = build_dir.display();
    let lacks_version = ["No version is set for command", "No preset version installed for command"];
    if says("mise ERROR") {
        Some(format!(
            "mise could not start Elixir or Erlang: on the server, as the user that deploys, run `mise install` in {folder}. \
             If the project has no mise.toml or .tool-versions, choose versions with `mise use -g erlang@27 elixir@1.18`"
        ))
    } else if lacks_version.into_iter().any(says) || (says("unknown command: ") && says("reshim")) {
        Some(format!(
            "asdf could not start Elixir or Erlang: on the server, as the user that deploys, run `asdf install` in {folder}. \
             If the project has no .tool-versions, choose versions with `asdf set --home elixir VERSION`, and for erlang too"
        ))
    } else {
        None
    }
}

/// Adds to an error of mix what to do about it, if it is the error of a version manager.
#[must_use]
pub fn explain(error: anyhow::Error, build_dir: &Path) -> anyhow::Error {
    let said = format!("{error:#}");
    match remedy(&said, build_dir) {
        Some(remedy) => anyhow::anyhow!("{said}\n{remedy}"),
        None => error,
    }
}
