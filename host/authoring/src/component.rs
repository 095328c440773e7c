//! Converts a linked core module to a component.

use anyhow::{Context, Result};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::world::World;

/// Converts a module with an embedded world to a component. An adapter translates its imports of WASI preview 1.
pub(super) fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| {
            encoder.adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)
        })
        .and_then(|encoder| encoder.validate(true).encode())
        .context("cannot convert the linker's output to a component")
}

/// Embeds the world in a module, and converts it to a component.
pub(super) fn encode_with_world(mut module: Vec<u8>, world: &World) -> Result<Vec<u8>> {
    embed_component_metadata(&mut module, &world.resolve, world.id, StringEncoding::UTF8)
        .context("cannot embed the world in the module")?;
    encode(&module)
}
