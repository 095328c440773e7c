//! The text of a partial env, as `gatling hooks run --env` takes it: what is understood is a whole
//! record, and given as JSON again it is the same one.

#![no_main]

use std::path::Path;

use gatling_authoring::sample;
use gatling_pipeline::Pipeline;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let made_up = sample::env(Pipeline::Upgrade, Path::new("/nowhere/hello"));
    let Ok(env) = sample::env_from_json(text, &made_up) else { return };
    let whole = serde_json::to_string(&env).expect("a record has names and texts");
    let again = sample::env_from_json(&whole, &made_up).expect("it is a whole record");
    assert_eq!(serde_json::to_string(&again).expect("as before"), whole);
});
