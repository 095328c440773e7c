//! Components of any shape, generated. Nearly all are valid.

#![no_main]

use arbitrary::Unstructured;
use gatling_hook_host::inspect::Inspection;
use gatling_pipeline::Pipeline;
use libfuzzer_sys::{Corpus, fuzz_target};
use wasm_smith::{Component, Config};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(component) = Component::new(Config::default(), &mut Unstructured::new(bytes)) else { return Corpus::Reject };
    _ = Inspection::of(&component.to_bytes(), &Pipeline::Upgrade.name(), &Pipeline::all_hooks());
    Corpus::Keep
});
