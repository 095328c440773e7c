//! The bytes of a hooks file.

#![no_main]

use gatling_hook_host::inspect::Inspection;
use gatling_pipeline::Pipeline;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(inspection) = Inspection::of(bytes, &Pipeline::Upgrade.name(), &Pipeline::all_hooks()) else {
        return Corpus::Keep;
    };
    // Whoever reads the report reads all of it.
    assert!(inspection.problems.len() <= 100);
    assert!(inspection.problems.iter().all(|problem| problem.len() < 4096), "{:?}", inspection.problems);
    assert!(inspection.callable().all(|(report, _)| report.pipeline.is_some()));
    Corpus::Keep
});
