//! Generates the bindings to the contract, for languages whose own tools don't.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wit_bindgen_core::{Files, WorldGenerator};

use super::world::World;

/// The folder of the bindings in a project. Gatling writes everything in it.
pub(super) const FOLDER: &str = "bindings";

/// Generates bindings for the world, and writes them into the project in `dir`.
pub(super) fn generate(dir: &Path, world: &World, mut generator: Box<dyn WorldGenerator>) -> Result<()> {
    let mut files = Files::default();
    // A copy, because generators add names to it.
    let mut resolve = world.resolve.clone();
    generator.generate(&mut resolve, world.id, &mut files).context("cannot write bindings for the world in wit/")?;
    for (name, content) in files.iter() {
        write(dir, name, content)?;
    }
    Ok(())
}

/// Writes one file of bindings. An unchanged file is not written again, so that compilers don't rebuild it.
pub(super) fn write(dir: &Path, name: &str, content: &[u8]) -> Result<()> {
    let path = dir.join(FOLDER).join(name);
    if fs::read(&path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let cannot = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(cannot)?;
    }
    fs::write(&path, content).with_context(cannot)
}
