//! The text of a `.env`: what is understood is written back to mean the same.

#![no_main]

use gatling_config::dotenv::Dotenv;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(read) = Dotenv::parse(text) else { return };
    let written = read.to_string();
    assert_eq!(Dotenv::parse(&written).expect("it was written by Gatling"), read, "{written}");
});
