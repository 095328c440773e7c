//! The text of a project's `gatling.toml`.

#![no_main]

use gatling_config::settings::ProjectSettings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    _ = ProjectSettings::parse(text);
});
