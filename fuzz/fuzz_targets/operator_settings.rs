//! The text of the operator's file.

#![no_main]

use gatling_config::settings::OperatorSettings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(settings) = OperatorSettings::parse(text) else { return };
    // What nginx is to listen on goes into its configuration as it stands.
    assert!(settings.nginx.listen.iter().all(|address| !address.contains([';', '{', '}', '\n'])));
});
