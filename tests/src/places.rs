//! The paths of what cargo and `cargo xtask` have built.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the workspace")
}

/// The folder of this program's build profile, such as `target/debug`.
pub fn profile_dir() -> Result<PathBuf> {
    let program = env::current_exe().context("finding this program's own path")?;
    let folder = program.parent().context("this program has no parent folder")?;
    // cargo puts test programs one folder deeper than the others.
    let folder = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    Ok(folder.context("target/*/deps has no parent folder")?.to_path_buf())
}

/// The cargo target folder that this program was built into.
pub fn target_dir() -> Result<PathBuf> {
    let profile = profile_dir()?;
    let target = profile.parent().context("the build profile's folder has no parent folder")?;
    Ok(target.to_path_buf())
}

/// The `gatling` program: `$GATLING_BIN`, or the one in this program's profile folder.
pub fn gatling() -> Result<PathBuf> {
    let program = match env::var_os("GATLING_BIN") {
        Some(path) => PathBuf::from(path),
        None => profile_dir()?.join("gatling"),
    };
    if !program.is_file() {
        bail!("{} does not exist: build it with `cargo build -p gatling`, or set GATLING_BIN", program.display());
    }
    Ok(program)
}

/// The folder of the built hooks files: `$GATLING_GUESTS`, or `guests/out` in the target folder.
pub fn guests_dir() -> Result<PathBuf> {
    match env::var_os("GATLING_GUESTS") {
        Some(path) => Ok(PathBuf::from(path)),
        None => Ok(target_dir()?.join("guests/out")),
    }
}

/// The hooks file built from the guest crate `name`.
pub fn guest(name: &str) -> Result<PathBuf> {
    let path = guests_dir()?.join(name).with_extension("wasm");
    if !path.is_file() {
        bail!("{} does not exist: build it with `cargo xtask guests`", path.display());
    }
    Ok(path)
}
