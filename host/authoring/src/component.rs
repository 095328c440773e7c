//! From the core module that a linker wrote to a component.

use anyhow::{Context, Result};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::world::World;

/// Makes a component of a module that says of itself what its world is. What it takes from WASI's
/// first preview is adapted to what components have.
pub(super) fn of(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|encoder| encoder.validate(true).encode())
        .context("what the linker wrote cannot be made a component")
}

/// Makes a component of a module that doesn't.
pub(super) fn of_world(mut module: Vec<u8>, world: &World) -> Result<Vec<u8>> {
    embed_component_metadata(&mut module, &world.resolve, world.id, StringEncoding::UTF8)
        .context("cannot write the world into the module")?;
    of(&module)
}
