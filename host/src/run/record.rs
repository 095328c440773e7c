//! What is written down of each run.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::folders::make_private;

/// The folder of a project's runs, below its state dir.
const RUNS: &str = "runs";

/// How many of the latest runs are looked at, at most: those that could still matter.
const LOOKED_AT: usize = 20;

/// One execution of a task.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Record {
    /// The run's id, which is also the name of its log.
    pub id: String,
    /// The project.
    pub project: String,
    /// The task; none as long as it isn't decided.
    pub task: Option<String>,
    /// The commit; empty as long as it isn't known.
    pub commit: String,
    /// Who began it.
    pub by: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none while it runs.
    pub finished_at: Option<Timestamp>,
    /// How it ended. One that still says `running` while nobody has the lock was killed.
    pub outcome: Outcome,
    /// The version that was deployed.
    pub version: Option<String>,
    /// What failed.
    pub error: Option<String>,
    /// The steps and hooks that were carried out, in order.
    pub steps: Vec<StepRecord>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It hasn't ended, as far as it could say.
    Running,
    /// Every step and hook went well.
    Succeeded,
    /// Something failed, and nothing was done after it.
    Failed,
}

/// A step or a hook that was carried out.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct StepRecord {
    /// `mix_compile`, or `before_mix_compile` for a hook.
    pub name: String,
    /// Whether it is a hook.
    pub hook: bool,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether it went well.
    pub ok: bool,
}

impl StepRecord {
    /// What was carried out, and how.
    #[must_use]
    pub fn new(name: &str, hook: bool, time: Duration, ok: bool) -> Self {
        Self { name: name.to_owned(), hook, seconds: time.as_secs_f64(), ok }
    }
}

/// The runs of one project.
#[derive(Clone, Debug)]
pub struct Runs {
    dir: PathBuf,
}

impl Runs {
    /// The runs below a state dir, which is made if it isn't there.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn open(state_dir: &Path) -> Result<Self> {
        let dir = state_dir.join(RUNS);
        // Logs hold whatever programs write.
        make_private(&dir)?;
        Ok(Self { dir })
    }

    /// The log of a run.
    #[must_use]
    pub fn log(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.log"))
    }

    /// Writes a record, whole or not at all.
    ///
    /// # Errors
    /// When the folder can't be written to.
    pub fn save(&self, record: &Record) -> Result<()> {
        let write = || -> Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(&serde_json::to_vec_pretty(record)?)?;
            file.persist(self.dir.join(format!("{}.json", record.id)))?;
            Ok(())
        };
        write().with_context(|| format!("cannot write the run's record to {}", self.dir.display()))
    }

    /// The latest runs other than `id` whose records can be read, the latest first.
    #[must_use]
    pub fn others(&self, id: &str) -> Vec<Record> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> =
            names.filter(|name| name.strip_suffix(".json").is_some_and(|other| other != id)).collect();
        names.sort_unstable_by(|one, two| two.cmp(one));
        names.truncate(LOOKED_AT);
        names.iter().filter_map(|name| serde_json::from_slice(&fs::read(self.dir.join(name)).ok()?).ok()).collect()
    }
}

/// A new run's id: the time it begins, to a thousandth of a second, and the process that asks.
/// Ids sort by time.
#[must_use]
pub fn new_id() -> String {
    format!("{}-{}", Timestamp::now().strftime("%Y%m%d-%H%M%S-%3f"), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Record {
        Record {
            id: id.to_owned(),
            project: "hello".to_owned(),
            task: Some("upgrade".to_owned()),
            commit: "1a2b3c4".to_owned(),
            by: "deploy".to_owned(),
            started_at: Timestamp::now(),
            finished_at: None,
            outcome: Outcome::Running,
            version: None,
            error: None,
            steps: vec![StepRecord::new("mix_compile", false, Duration::from_millis(1500), true)],
        }
    }

    #[test]
    fn other_runs_come_latest_first_and_torn_records_do_not_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let runs = Runs::open(folder.path()).expect("it is made");
        for id in ["20260101-000000-000-9", "20260102-000000-000-1", "20260103-000000-000-1"] {
            runs.save(&record(id)).expect("it is saved");
        }
        fs::write(folder.path().join(RUNS).join("20260102-000000-000-2.json"), "torn").expect("a file");
        let others = runs.others("20260103-000000-000-1");
        let ids: Vec<_> = others.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(ids, ["20260102-000000-000-1", "20260101-000000-000-9"]);
        assert_eq!(others[0].steps[0].seconds, 1.5);
    }
}
