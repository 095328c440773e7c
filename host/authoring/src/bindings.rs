//! The code between a language and the contract, for languages whose own tools don't write it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wit_bindgen_core::{Files, WorldGenerator};

use super::world::World;

/// The folder of the bindings, below the project's. Everything in it is Gatling's.
pub(super) const FOLDER: &str = "bindings";

/// Writes what a generator makes of the world into the project in `dir`.
pub(super) fn generate(dir: &Path, world: &World, mut generator: Box<dyn WorldGenerator>) -> Result<()> {
    let mut files = Files::default();
    // Generators give names to what has none.
    let mut resolve = world.resolve.clone();
    generator.generate(&mut resolve, world.id, &mut files).context("cannot write bindings for the world in wit/")?;
    for (name, content) in files.iter() {
        write(dir, name, content)?;
    }
    Ok(())
}

/// Writes one file of bindings. Compilers build anew what was written anew: a file that is the
/// same already is left alone.
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
