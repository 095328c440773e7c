//! The tools that build hooks, as `cargo xtask setup` installs them into the target folder, and an environment in which
//! they only use what setup installed.

pub mod rust;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::places;

/// The library that changes the clock which a program sees, from Debian's package `faketime`.
pub fn faketime() -> Result<PathBuf> {
    let folders = fs::read_dir("/usr/lib").context("reading /usr/lib")?.flatten();
    let mut libraries = folders.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    libraries.find(|path| path.is_file()).context("there is no libfaketime: install it with `apt-get install faketime`")
}

/// The folder of the tools and their caches.
pub fn dir() -> Result<PathBuf> {
    Ok(places::target_dir()?.join("tools"))
}

/// The virtual environment with the tools that are Python packages.
pub fn python() -> Result<PathBuf> {
    Ok(dir()?.join("python"))
}

/// A Go module proxy in a folder. It has the module that the bindings need, from the sources of the crate that
/// generates them.
pub fn go_proxy() -> Result<PathBuf> {
    Ok(dir()?.join("go-proxy"))
}

/// `command` with the tools on its `PATH`, and their caches in the target folder.
pub fn with(command: &mut Command) -> Result<&mut Command> {
    let tools = dir()?;
    command
        .env("PATH", prepended(&[python()?.join("bin")])?)
        .env("ZIG_GLOBAL_CACHE_DIR", tools.join("zig-cache"))
        .env("GOCACHE", tools.join("go-cache"))
        .env("GOMODCACHE", tools.join("go-modules"))
        // Otherwise the target folder could not be removed.
        .env("GOFLAGS", "-modcacherw")
        .env("GOPROXY", format!("file://{}", go_proxy()?.display()))
        .env("GOSUMDB", "off")
        .env("GOTOOLCHAIN", "local")
        .env("npm_config_prefer_offline", "true");
    for name in ["ZIG", "WASI_SDK_PATH", "GOWORK"] {
        command.env_remove(name);
    }
    Ok(command)
}

/// `PATH` with `folders` before the others.
pub(crate) fn prepended(folders: &[PathBuf]) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = folders.iter().cloned().chain(env::split_paths(&path));
    env::join_paths(folders).context("putting tools on the PATH")
}

/// The command that builds the hooks in `project` with the tools.
pub fn build(gatling: &Path, project: &Path) -> Result<Command> {
    let mut command = Command::new(gatling);
    with(&mut command)?.args(["hooks", "build"]).arg(project);
    if project.join("Cargo.toml").is_file() {
        rust::Toolchain::find()?.set_up(&mut command)?;
    }
    Ok(command)
}
