//! Components made from their WIT alone: whatever they export traps.

use std::fs;

use gatling_tests::places;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// What a world begins with whose hooks take the contract's env.
pub(crate) const USE: &str = "use gatling:hooks/types@1.1.0.{env}; include gatling:hooks/imports@1.1.0;";

/// The text of the contract.
pub(crate) fn contract() -> String {
    fs::read_to_string(places::workspace().join("wit/hooks.wit")).unwrap()
}

/// A component with the imports and exports of `world`, built against the text of a contract.
pub(crate) fn component(world: &str, contract: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_str("hooks.wit", contract).unwrap();
    let package = resolve.push_str("mine.wit", &format!("package my:hooks;\nworld mine {{ {world} }}")).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}
