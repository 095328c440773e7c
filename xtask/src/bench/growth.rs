//! How the cost of a hook grows with its calls, and with its env.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::numbers::{median, per_call};
use super::projects::{Language, PYTHON, RUST, component};
use super::table::Table;
use super::trial::Bench;

/// How often a hook is called.
const CALLS: [u32; 3] = [16, 160, 1_600];
/// How large the larger env is, in bytes.
const LARGE: usize = 1_000_000;

/// One row: a language, and whether its env is the large one.
struct Lane {
    language: Language,
    large: bool,
    /// Of the whole process, for each number of calls.
    times: [Vec<f64>; CALLS.len()],
}

/// Measures it in turns, and prints the table. `folder` is for the large env.
pub(super) fn print(bench: &Bench<'_>, folder: &Path, rounds: usize) -> Result<()> {
    let env = folder.join("large-env.json");
    fs::write(&env, serde_json::json!({ "nginx_template": "x".repeat(LARGE) }).to_string())?;
    let mut lanes = Vec::new();
    for language in [RUST, PYTHON] {
        for large in [false, true] {
            lanes.push(Lane { language, large, times: Default::default() });
        }
    }
    for _ in 0..rounds {
        for lane in &mut lanes {
            let env = lane.large.then_some(env.as_path());
            for (calls, times) in CALLS.into_iter().zip(&mut lane.times) {
                times.push(bench.cached(&component(lane.language)?, calls, env)?.whole);
            }
        }
    }
    println!("Many calls of a hook, cached: ms of the whole process (medians of {rounds} rounds)\n");
    let mut table = Table::new(["", "16 calls", "160", "1600", "one more call, to 160", "to 1600"]);
    for lane in &lanes {
        let medians: Vec<_> = lane.times.iter().map(|times| median(times.iter().copied())).collect();
        let points: Vec<_> = CALLS.into_iter().zip(medians).collect();
        let mut row = vec![format!("{}{}", lane.language, if lane.large { ", an env of 1 MB" } else { "" })];
        row.extend(points.iter().map(|(_, time)| format!("{time:.1}")));
        row.extend(points.windows(2).map(|pair| format!("{:.3}", per_call(pair[0], pair[1]))));
        table.add(row);
    }
    println!("{table}");
    Ok(())
}
