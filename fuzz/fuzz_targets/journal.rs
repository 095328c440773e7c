//! The bytes of a journal: whatever can be read of it can be shown, and only shows.

#![no_main]

use gatling_report::{Options, Renderer, Verbosity, html};
use gatling_runs::reader::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    let entries: Vec<_> = lines.filter_map(|(number, line)| parse(line, number + 1).ok()).collect();
    for entry in &entries {
        let written = serde_json::to_vec(entry).expect("it is an entry");
        assert_eq!(&parse(&written, 1).expect("it was written by Gatling"), entry);
    }
    let mut shown = Vec::new();
    let mut renderer = Renderer::new(&mut shown, Options { verbosity: Verbosity::Verbose, ..Options::default() });
    for entry in &entries {
        renderer.show(entry).expect("memory takes it");
    }
    let shown = String::from_utf8(shown).expect("it is text");
    // Tabs become spaces only where lines are wrapped.
    assert!(shown.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()), "{shown:?}");
    html::page(&entries, 0).expect("it can be filled in");
});
