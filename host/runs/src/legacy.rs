//! Runs that were written down before there were journals: a record `ID.json` and a text `ID.log`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::summary::{State, Summary};

/// How a run of those days is written down.
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

/// The run in short. One that says that it is running is one that was killed: the program that
/// wrote it is not this one.
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
        by: record.by,
        started_at: record.started_at,
        finished_at: record.finished_at,
        seconds: record.finished_at.map(|end| end.duration_since(record.started_at).as_secs_f64()),
        error: record.error.into_iter().collect(),
        at: None,
        serving: None,
    })
}

/// Notes that what a killed run left was set right.
pub(crate) fn note_recovery(dir: &Path, id: &str) -> io::Result<()> {
    let path = record(dir, id);
    let mut value: Value = serde_json::from_slice(&fs::read(&path)?)?;
    value["outcome"] = "failed".into();
    value["error"] = "it was killed".into();
    fs::write(path, serde_json::to_vec_pretty(&value)?)
}
