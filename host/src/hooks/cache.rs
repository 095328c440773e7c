//! Compiled hooks, kept: compiling takes seconds where loading takes a millisecond.
//!
//! wasmtime runs whatever it finds in such a file. So the folder is the user's alone, files come
//! into it by a rename, and one that doesn't load is made anew.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::run::log::RunLog;

/// The component in `bytes`, from the cache if it is there, otherwise compiled and put there.
///
/// # Errors
/// When it doesn't compile.
pub(super) fn component(
    engine: &Engine,
    bytes: &[u8],
    dir: &Path,
    file: &str,
    log: &RunLog,
) -> wasmtime::Result<Component> {
    let Some(path) = entry(engine, bytes, dir) else {
        log.debug(&format!("no cache: {} cannot be used", dir.display()));
        return Component::new(engine, bytes);
    };
    if path.is_file() {
        // SAFETY: only this user can have written the file, with this code, see `entry`.
        match unsafe { Component::deserialize_file(engine, &path) } {
            Ok(component) => return Ok(component),
            Err(error) => log.debug(&format!("{} is made anew: {error:#}", path.display())),
        }
    }
    log.line(&format!("  compiling {file}, the first time it is used"));
    let component = Component::new(engine, bytes)?;
    if let Err(error) = store(&component, &path) {
        log.line(&format!("  warning: compiled hooks cannot be kept in {}: {error:#}", dir.display()));
    }
    Ok(component)
}

/// The file for these bytes and this engine; none where the folder can't be trusted.
fn entry(engine: &Engine, bytes: &[u8], dir: &Path) -> Option<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).ok()?;
    let metadata = fs::symlink_metadata(dir).ok()?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    Some(dir.join(format!("{}-{:016x}.cwasm", hex(&Sha256::digest(bytes)), hasher.finish())))
}

fn store(component: &Component, path: &Path) -> anyhow::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(dir)?;
    fs::write(file.path(), component.serialize().map_err(anyhow::Error::from)?)?;
    file.persist(path)?;
    Ok(())
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
