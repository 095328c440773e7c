//! Releases that should not serve again without a word: those that failed after they had begun to serve, and those that were
//! rolled back from.

use std::fs;

use anyhow::Result;
use gatling_config::paths::ProjectPaths;
use gatling_report::tables::when;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::perform::write_file;
use crate::serving;

/// How many marks are kept: the latest.
const KEPT: usize = 100;

/// A mark of a release.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// The release.
    pub release: String,
    /// Its commit, if it is known.
    pub commit: Option<String>,
    /// When it was marked.
    pub at: Timestamp,
    /// Why: `rolled back to 0.1.0`.
    pub why: String,
}

impl Mark {
    /// A mark of this release, made now.
    pub(crate) fn new(paths: &ProjectPaths, release: &str, why: String) -> Self {
        let commit = serving::settings(paths, release)
            .get("GATLING_COMMIT")
            .filter(|commit| !commit.is_empty())
            .map(str::to_owned);
        Self { release: release.to_owned(), commit, at: Timestamp::now(), why }
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}: {})", self.release, when(self.at), self.why)
    }
}

/// The marks of a project, the latest last.
#[must_use]
pub fn read(paths: &ProjectPaths) -> Vec<Mark> {
    let text = fs::read_to_string(file(paths)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Adds a mark.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn add(paths: &ProjectPaths, mark: &Mark) -> Result<()> {
    let mut marks = read(paths);
    marks.push(mark.clone());
    let lines: Result<Vec<_>, _> = marks.iter().rev().take(KEPT).rev().map(serde_json::to_string).collect();
    write_file(&file(paths), &(lines?.join("\n") + "\n"), 0o644)
}

fn file(paths: &ProjectPaths) -> std::path::PathBuf {
    paths.deploy_dir().join("marks.jsonl")
}
