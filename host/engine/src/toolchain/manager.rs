//! mise and asdf, which install versions of Elixir and Erlang for a user.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::asked::Asked;
use gatling_process::find_program_on;

/// The variable that names the folders whose files mise trusts.
const TRUST_VARIABLE: &str = "MISE_TRUSTED_CONFIG_PATHS";

/// A version manager that is installed for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Which one.
    pub name: ManagerName,
    /// The folders to look for programs in, where it has an Elixir.
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

/// The version managers that are installed for the user with this home, those first whose programs
/// are found first.
#[must_use]
pub fn managers(home: &Path) -> Vec<Manager> {
    managers_in(home, &|name| env::var_os(name).filter(|value| !value.is_empty()))
}

/// The version managers that are installed for the user whom this program runs as.
#[must_use]
pub fn of_user() -> Vec<Manager> {
    env::home_dir().map(|home| managers(&home)).unwrap_or_default()
}

/// The folders to put before the `PATH` for all that mix does: those in which mise and asdf keep
/// their programs for the user with this home, if an `elixir` is among them.
#[must_use]
pub fn shims(home: &Path) -> Vec<PathBuf> {
    managers(home).into_iter().flat_map(|manager| manager.folders).collect()
}

/// The variable for all that mix does by which mise trusts the files that are pushed. mix runs the
/// project's code anyway.
#[must_use]
pub fn mise_trust(build_dir: &Path) -> (&'static str, OsString) {
    (TRUST_VARIABLE, trusted(env::var_os(TRUST_VARIABLE).as_deref(), build_dir))
}

fn trusted(already: Option<&OsStr>, build_dir: &Path) -> OsString {
    let already = already.into_iter().flat_map(env::split_paths).filter(|path| !path.as_os_str().is_empty());
    let folders: Vec<_> = already.filter(|path| path != build_dir).chain([build_dir.to_owned()]).collect();
    // A project's name has no colon; a home that has one can't be trusted this way.
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
                // asdf's shims look for asdf on the PATH, and a push over ssh comes with a short one.
                let own = [data.join("bin"), home.join(".local/bin")];
                let own = own.into_iter().find(|folder| runnable(&folder.join("asdf")));
                folders.extend(own.filter(|_| name == ManagerName::Asdf));
            }
            Manager { name, folders }
        })
        .collect()
}

/// What to do about an Elixir or Erlang that is too old.
pub(super) fn how_to_install(asked: &Asked, managers: &[Manager]) -> String {
    let folder = asked.build_dir.display();
    let is_pinned = !asked.pins.is_empty();
    match managers.first().map(|manager| manager.name) {
        Some(name) if is_pinned => format!(
            "Install what the project asks for, on the server as the user that deploys, with `{name} install` in {folder}; \
             then push again"
        ),
        Some(ManagerName::Mise) => "Install a version that fits, on the server as the user that deploys, for instance \
             with `mise use -g erlang@27 elixir@1.18`; then push again"
            .to_owned(),
        Some(ManagerName::Asdf) => "Install a version that fits, on the server as the user that deploys, with \
             `asdf install elixir VERSION` and `asdf set --home elixir VERSION`; then push again"
            .to_owned(),
        None => "Debian 12 (bookworm) has Elixir 1.14.0 on Erlang/OTP 25, Debian 13 (trixie) has Elixir 1.18.3 on \
             Erlang/OTP 27. For any other version install mise (https://mise.jdx.dev) on the server, as the user that \
             deploys, and run `mise use -g erlang@27 elixir@1.18`; then push again"
            .to_owned(),
    }
}

/// What to do where the program of a version manager says in `said` that it has no version to run.
#[must_use]
pub fn remedy(said: &str, build_dir: &Path) -> Option<String> {
    let says = |part: &str| said.lines().any(|line| line.contains(part));
    let folder = build_dir.display();
    let lacks_version = ["No version is set for command", "No preset version installed for command"];
    if says("mise ERROR") {
        Some(format!(
            "mise could not start Elixir or Erlang: run `mise install` in {folder}, on the server as the user that deploys. If \
             the project has no mise.toml or .tool-versions, choose versions with `mise use -g erlang@27 elixir@1.18`"
        ))
    } else if lacks_version.into_iter().any(says) || (says("unknown command: ") && says("reshim")) {
        Some(format!(
            "asdf could not start Elixir or Erlang: run `asdf install` in {folder}, on the server as the user that deploys. If \
             the project has no .tool-versions, choose versions with `asdf set --home elixir VERSION`, and for erlang too"
        ))
    } else {
        None
    }
}

/// An error of mix, with what to do about it where it is that of a version manager.
#[must_use]
pub fn explain(error: anyhow::Error, build_dir: &Path) -> anyhow::Error {
    let said = format!("{error:#}");
    match remedy(&said, build_dir) {
        Some(remedy) => anyhow::anyhow!("{said}\n{remedy}"),
        None => error,
    }
}
