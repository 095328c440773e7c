//! Components made from their WIT: whatever they export traps, or is written by hand.

use std::fs;

use gatling_tests::places;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve, WorldId};

/// What a world begins with whose hooks take the contract's env.
pub(crate) const USE: &str = "use gatling:hooks/types@1.0.0.{env}; include gatling:hooks/imports@1.0.0;";

/// The text of the contract.
pub(crate) fn contract() -> String {
    fs::read_to_string(places::workspace().join("wit/hooks.wit")).unwrap()
}

/// A component with the imports and exports of `world`, built against the text of a contract.
#[allow(dead_code, reason = "not every program of tests has such components")]
pub(crate) fn component(world: &str, contract: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_str("hooks.wit", contract).unwrap();
    let world = selected(&mut resolve, world);
    let module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    around(module, &resolve, world)
}

/// A component around a core module in the text format. `packages` are the texts of those that
/// the world uses.
#[allow(dead_code, reason = "not every program of tests has such components")]
pub(crate) fn component_around(module: &str, world: &str, packages: &[&str]) -> Vec<u8> {
    let mut resolve = Resolve::default();
    for package in packages {
        resolve.push_str("package.wit", package).unwrap();
    }
    let world = selected(&mut resolve, world);
    around(wat::parse_str(module).unwrap(), &resolve, world)
}

fn selected(resolve: &mut Resolve, world: &str) -> WorldId {
    let package = resolve.push_str("mine.wit", &format!("package my:hooks;\nworld mine {{ {world} }}")).unwrap();
    resolve.select_world(&[package], None).unwrap()
}

fn around(mut module: Vec<u8>, resolve: &Resolve, world: WorldId) -> Vec<u8> {
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}
