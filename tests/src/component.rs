//! Components made from WIT. Their exports trap, or are written by hand.

use std::fs;

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve, WorldId};

use crate::places;

/// The beginning of a world whose hooks take the contract's env record.
pub const USE: &str = "use gatling:hooks/types@1.2.0.{env}; include gatling:hooks/imports@1.2.0;";

/// The text of the contract.
pub fn contract() -> String {
    fs::read_to_string(places::workspace().join("wit/hooks.wit")).unwrap()
}

/// A component with the imports and exports of `world`, built against the text of a contract.
pub fn component(world: &str, contract: &str) -> Vec<u8> {
    let (resolve, world) = resolved(world, &[contract]);
    encoded(dummy_module(&resolve, world, ManglingAndAbi::Standard32), &resolve, world)
}

/// A component around a core module in the text format. `packages` are the texts of the packages that the world uses.
pub fn component_around(module: &str, world: &str, packages: &[&str]) -> Vec<u8> {
    let (resolve, world) = resolved(world, packages);
    encoded(wat::parse_str(module).unwrap(), &resolve, world)
}

/// A component with this hook, which never returns.
pub fn endless(hook: &str) -> Vec<u8> {
    let module = format!(
        r#"(module
      (memory (export "memory") 1)
      (func (export "{hook}") (param i32) (loop (br 0)))
      (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))"#
    );
    component_around(&module, &format!("{USE} export {hook}: func(env: env);"), &[&contract()])
}

fn resolved(world: &str, packages: &[&str]) -> (Resolve, WorldId) {
    let mut resolve = Resolve::default();
    for package in packages {
        resolve.push_str("package.wit", package).unwrap();
    }
    let package = resolve.push_str("mine.wit", &format!("package my:hooks;\nworld mine {{ {world} }}")).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    (resolve, world)
}

fn encoded(mut module: Vec<u8>, resolve: &Resolve, world: WorldId) -> Vec<u8> {
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}
