//! The stored runs of a project: one folder for each.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gatling_process::Command;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::event::{Change, Entry, Event};
use crate::legacy;
use crate::reader::{JournalError, Reader};
use crate::summary::{State, Summary};

/// A change that a run has begun, and neither completed nor undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenChange {
    /// What was to be changed.
    pub change: Change,
    /// What it was to be changed to.
    pub to: String,
    /// The commands that undo it.
    pub undo: Vec<Command>,
}

/// The folder of a project's runs, below its state dir.
const RUNS: &str = "runs";
/// The name of a run's journal in its folder.
const JOURNAL: &str = "journal.jsonl";

/// The runs of one project.
#[derive(Clone, Debug)]
pub struct Runs {
    dir: PathBuf,
}

impl Runs {
    /// The runs below a state dir, which need not exist.
    #[must_use]
    pub fn below(state_dir: &Path) -> Self {
        Self { dir: state_dir.join(RUNS) }
    }

    /// The folder of all runs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of a run.
    #[must_use]
    pub fn folder(&self, id: &str) -> PathBuf {
        self.dir.join(id)
    }

    /// The journal of a run.
    #[must_use]
    pub fn journal(&self, id: &str) -> PathBuf {
        self.folder(id).join(JOURNAL)
    }

    /// The file that names who has cancelled a run.
    #[must_use]
    pub fn cancelled_by(&self, id: &str) -> PathBuf {
        self.folder(id).join("cancelled-by")
    }

    /// The file that is locked while processes of a run may still be running.
    #[must_use]
    pub fn guard_lock(&self, id: &str) -> PathBuf {
        self.folder(id).join("guard.lock")
    }

    /// An id for a new run. Ids sort by time, and a new one comes after all others, even if the clock was set back.
    #[must_use]
    pub fn new_id(&self) -> String {
        let now = Timestamp::now();
        let latest = self.ids().ok().and_then(|ids| time_of(ids.first()?));
        let time = match latest {
            Some(latest) if latest >= now => latest + SignedDuration::from_millis(1),
            _ => now,
        };
        format!("{}-{}", time.strftime(ID_TIME), std::process::id())
    }

    /// Makes the folder of a new run, which only its owner can enter.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make_folder(&self, id: &str) -> Result<PathBuf> {
        let folder = self.folder(id);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).with_context(|| {
            format!("cannot make the folder {}: check `df -h` and `ls -ld {}`", folder.display(), self.dir.display())
        })?;
        Ok(folder)
    }

    /// The log of a run without a journal, from an older version.
    #[must_use]
    pub fn old_log(&self, id: &str) -> Option<PathBuf> {
        Some(legacy::log(&self.dir, id)).filter(|log| log.is_file())
    }

    /// The ids of all runs, the latest first.
    ///
    /// # Errors
    /// If the folder cannot be read. If it does not exist, there are no runs.
    pub fn ids(&self) -> Result<Vec<String>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.dir.display())),
        };
        let id = |name: String| name.strip_suffix(".json").map(str::to_owned).unwrap_or(name);
        let mut ids: Vec<_> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .map(id)
            .filter(|name| is_id(name))
            .collect();
        ids.sort_unstable_by(|one, two| two.cmp(one));
        Ok(ids)
    }

    /// The summary of a run.
    ///
    /// # Errors
    /// If the run does not exist, or its record cannot be read.
    pub fn summary(&self, id: &str) -> Result<Summary, JournalError> {
        match Summary::read(&self.journal(id)) {
            Err(JournalError::Missing(path)) => legacy::summary(&self.dir, id).map_err(|_| JournalError::Missing(path)),
            summary => summary,
        }
    }

    /// Summaries of the latest runs, the latest first, or why one cannot be read.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn latest(&self, number: usize) -> Result<Vec<(String, Result<Summary, JournalError>)>> {
        let ids = self.ids()?.into_iter().take(number);
        Ok(ids
            .map(|id| {
                let summary = self.summary(&id);
                (id, summary)
            })
            .collect())
    }

    /// The latest runs other than `id` that were killed and that no other run has recovered from. Call it while you
    /// hold the project's lock.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn killed(&self, id: &str) -> Result<Vec<String>> {
        let latest = self.latest(RECENT_RUNS)?.into_iter().filter(|(other, _)| other != id);
        let killed =
            latest.filter(|(_, run)| run.as_ref().is_ok_and(|run| run.state == State::Killed && !run.recovered));
        Ok(killed.map(|(id, _)| id).collect())
    }

    /// Records in the journal of a killed run that the run `by` has recovered from it.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn note_recovery(&self, id: &str, by: &str) -> Result<()> {
        if self.journal(id).is_file() {
            return self.append(id, Event::Recovered { by: by.to_owned() });
        }
        legacy::note_recovery(&self.dir, id).with_context(|| format!("cannot write the record of run {id}"))
    }

    /// Adds an event to the journal of a run that was killed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, id: &str, event: Event) -> Result<()> {
        let journal = self.journal(id);
        let append = || -> io::Result<()> {
            // The last line may be incomplete.
            let line = format!("\n{}\n", serde_json::to_string(&Entry::now(event))?);
            let mut file = OpenOptions::new().append(true).open(&journal)?;
            file.write_all(line.as_bytes())?;
            file.sync_data()
        };
        append().with_context(|| format!("cannot write {}", journal.display()))
    }

    /// The changes that a run has begun, and neither completed nor undone, the latest first.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn open_changes(&self, id: &str) -> Result<Vec<OpenChange>, JournalError> {
        let mut open: Vec<OpenChange> = Vec::new();
        // Lines that a crash has damaged say nothing.
        for entry in Reader::open(&self.journal(id))?.filter_map(Result::ok) {
            match entry.event {
                Event::Changing { change, to, undo } => open.insert(0, OpenChange { change, to, undo }),
                Event::Changed { change } | Event::Undone { change, ok: true } => {
                    open.retain(|other| other.change != change);
                }
                _ => {}
            }
        }
        Ok(open)
    }

    /// Keeps the latest `keep` runs and those in progress, and removes the others.
    ///
    /// # Errors
    /// If the folder cannot be read, or a run cannot be removed.
    pub fn prune(&self, keep: usize) -> Result<()> {
        for id in self.ids()?.into_iter().skip(keep) {
            let is_in_progress = Reader::open(&self.journal(&id)).is_ok_and(|journal| journal.is_being_written());
            if is_in_progress {
                continue;
            }
            for path in [self.folder(&id), legacy::record(&self.dir, &id), legacy::log(&self.dir, &id)] {
                let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                match removed {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// How many of the latest runs are searched for killed ones.
const RECENT_RUNS: usize = 50;

/// The format of the time in an id.
const ID_TIME: &str = "%Y%m%d-%H%M%S-%3f";

/// The time in an id.
fn time_of(id: &str) -> Option<Timestamp> {
    let (time, _process) = id.rsplit_once('-')?;
    let (seconds, milliseconds) = time.rsplit_once('-')?;
    let seconds = TimeZone::UTC.to_timestamp(DateTime::strptime("%Y%m%d-%H%M%S", seconds).ok()?).ok()?;
    Some(seconds + SignedDuration::from_millis(milliseconds.parse().ok()?))
}

/// Whether a text has the form of a run's id, which is also the name of its folder.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Events, Journal};

    fn begin(runs: &Runs, id: &str) -> Events {
        fs::create_dir_all(runs.folder(id)).expect("a folder");
        let events = Events::new(Journal::create(&runs.journal(id), 1000).expect("it is new"));
        events.emit(Event::Begun {
            run: id.to_owned(),
            project: "shop".to_owned(),
            pipeline: None,
            by: "deploy".to_owned(),
            gatling: "0.1.0".to_owned(),
            pushed: None,
            strict: false,
            pid: None,
            boot: None,
        });
        events
    }

    #[test]
    fn runs_are_listed_latest_first_and_other_files_are_ignored() {
        let folder = tempfile::tempdir().expect("a folder");
        let runs = Runs::below(folder.path());
        assert_eq!(runs.ids().expect("a missing folder is not an error"), [""; 0]);
        for id in ["20260102-000000-000-1", "20260103-000000-000-1", "20260101-000000-000-9"] {
            begin(&runs, id);
        }
        fs::create_dir(runs.dir().join("other")).expect("a folder");
        fs::write(runs.dir().join("20260104-000000-000-1.log"), "").expect("a file");
        fs::create_dir(runs.dir().join("20260105-000000-000-1")).expect("a folder");
        let latest = runs.latest(3).expect("it can be read");
        let ids: Vec<_> = latest.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["20260105-000000-000-1", "20260103-000000-000-1", "20260102-000000-000-1"]);
        assert!(matches!(latest[0].1, Err(JournalError::Missing(_))));
        assert_eq!(latest[1].1.as_ref().expect("it is whole").id, ids[1]);
    }

    #[test]
    fn a_new_id_comes_after_all_others_even_if_the_clock_was_set_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let runs = Runs::below(folder.path());
        let first = runs.new_id();
        assert!(is_id(&first) && time_of(&first).expect("a time") <= Timestamp::now(), "{first}");
        runs.make_folder("29990101-000000-999-7").expect("a folder");
        let next = runs.new_id();
        assert!(next.starts_with("29990101-000001-000-"), "{next}");
        runs.make_folder(&next).expect("a folder");
        assert_eq!(runs.ids().expect("it can be read")[0], next);
    }

    #[test]
    fn the_oldest_runs_are_removed_unless_they_are_in_progress() {
        let folder = tempfile::tempdir().expect("a folder");
        let runs = Runs::below(folder.path());
        let in_progress = begin(&runs, "1");
        for id in ["2", "3", "4"] {
            begin(&runs, id);
        }
        runs.prune(2).expect("they can be removed");
        assert_eq!(runs.ids().expect("it can be read"), ["4", "3", "1"]);
        drop(in_progress);
        runs.prune(2).expect("they can be removed");
        assert_eq!(runs.ids().expect("it can be read"), ["4", "3"]);
    }

    #[test]
    fn a_killed_run_is_listed_until_another_run_has_recovered_from_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let runs = Runs::below(folder.path());
        let in_progress = begin(&runs, "3");
        begin(&runs, "2");
        assert_eq!(runs.killed("3").expect("it can be read"), ["2"]);
        runs.note_recovery("2", "3").expect("it can be written");
        assert_eq!(runs.killed("3").expect("it can be read"), [""; 0]);
        let summary = runs.summary("2").expect("it can be read");
        assert!(summary.recovered && summary.state == State::Killed);
        drop(in_progress);
    }

    #[test]
    fn runs_of_older_versions_are_listed_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let runs = Runs::below(folder.path());
        fs::create_dir_all(runs.dir()).expect("a folder");
        let record = |outcome: &str| {
            format!(
                r#"{{"id":"1","project":"shop","task":"upgrade","commit":"1a2b","by":"deploy",
                    "started_at":"2026-01-01T00:00:00Z","finished_at":"2026-01-01T00:00:02Z","outcome":"{outcome}",
                    "version":"0.1.0","error":null,"steps":[]}}"#
            )
        };
        fs::write(runs.dir().join("1.json"), record("succeeded")).expect("a file");
        fs::write(runs.dir().join("1.log"), "gatling: shop").expect("a file");
        fs::write(runs.dir().join("2.json"), record("running")).expect("a file");
        let summary = runs.summary("1").expect("it can be read");
        assert_eq!((summary.state, summary.seconds), (State::Succeeded, Some(2.0)));
        assert!(runs.old_log("1").is_some());
        assert_eq!(runs.killed("3").expect("it can be read"), ["2"]);
        runs.note_recovery("2", "3").expect("it can be written");
        assert_eq!(runs.killed("3").expect("it can be read"), [""; 0]);
        runs.prune(0).expect("it can be removed");
        assert_eq!(fs::read_dir(runs.dir()).expect("a folder").count(), 0);
    }
}
