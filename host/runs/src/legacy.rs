//! Runs of versions that did not write journals yet: a record `ID.json` and a text `ID.log`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::summary::{State, Summary};

/// The record of such a run.
#[derive(Deserialize)]
struct Record {
    id: String,
    project: String,
    task: Option<String>,
    commit: String,
    by: String,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    outcome: String,
    version: Option<String>,
    error: Option<String>,
}

pub(crate) fn record(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.json"))
}

pub(crate) fn log(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.log"))
}

/// The summary of a run. A record with the outcome "running" is of a run that was killed: its program was an older
/// version.
pub(crate) fn summary(dir: &Path, id: &str) -> io::Result<Summary> {
    let record: Record = serde_json::from_slice(&fs::read(record(dir, id))?)?;
    let state = match record.outcome.as_str() {
        "succeeded" => State::Succeeded,
        "failed" => State::Failed,
        _ => State::Killed,
    };
    Ok(Summary {
        id: record.id,
        project: record.project,
        pipeline: record.task,
        state,
        recovered: false,
        release: record.version.clone(),
        version: record.version,
        branch: None,
        commit: Some(record.commit).filter(|commit| !commit.is_empty()),
        pushed: None,
        strict: false,
        pid: None,
        boot: None,
        by: record.by,
        started_at: record.started_at,
        finished_at: record.finished_at,
        seconds: record.finished_at.map(|end| end.duration_since(record.started_at).as_secs_f64()),
        error: record.error.into_iter().collect(),
        at: None,
        serving: None,
        synced: false,
    })
}

/// Records that another run has recovered from a killed run.
pub(crate) fn note_recovery(dir: &Path, id: &str) -> io::Result<()> {
    let path = record(dir, id);
    let mut value: Value = serde_json::from_slice(&fs::read(&path)?)?;
    value["outcome"] = "failed".into();
    value["error"] = "it was killed".into();
    fs::write(path, serde_json::to_vec_pretty(&value)?)
}
