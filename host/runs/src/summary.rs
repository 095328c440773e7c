//! The summary of a run, from the beginning and the end of its journal.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use crate::event::{Entry, Event, Outcome, Serving};
use crate::reader::{JournalError, Reader, parse};
use gatling_names::ON_FAILURE;

/// How much is read of each end of a long journal, in bytes. The relevant events are among the first and the last.
const END: u64 = 64 * 1024;

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is in progress.
    Running,
    /// It waits for another run.
    Waiting,
    /// Every step and hook succeeded.
    Succeeded,
    /// Something failed.
    Failed,
    /// A user cancelled it.
    Cancelled,
    /// There was nothing to do.
    Unchanged,
    /// It waited for another run, and a newer run waited too.
    Superseded,
    /// Its process was killed, or the server went down.
    Killed,
}

impl State {
    /// Its name, for users.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unchanged => "unchanged",
            Self::Superseded => "superseded",
            Self::Killed => "killed",
        }
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Running | Self::Waiting)
    }
}

impl From<Outcome> for State {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Unchanged => Self::Unchanged,
            Outcome::Superseded => Self::Superseded,
        }
    }
}

/// The summary of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The run's id.
    pub id: String,
    /// The project.
    pub project: String,
    /// The pipeline; none until it is decided.
    pub pipeline: Option<String>,
    /// Its state.
    pub state: State,
    /// Whether it was killed and another run has recovered from it.
    pub recovered: bool,
    /// The version of the project; none until it is known.
    pub version: Option<String>,
    /// The name of the release.
    pub release: Option<String>,
    /// The deploy branch.
    pub branch: Option<String>,
    /// The commit.
    pub commit: Option<String>,
    /// The commit that the deploy branch had when the run was begun.
    pub pushed: Option<String>,
    /// Whether exactly that commit is deployed, before the branch has it.
    pub strict: bool,
    /// The id of the process that carries out the run, or did.
    pub pid: Option<u32>,
    /// The id that the kernel gave to the boot of the server during which the run was begun.
    pub boot: Option<String>,
    /// The user who began it.
    pub by: String,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it ended; none if it is in progress or was killed.
    pub finished_at: Option<Timestamp>,
    /// How long it took, in seconds, without waiting for other runs.
    pub seconds: Option<f64>,
    /// The error and its causes.
    pub error: Vec<String>,
    /// The last step or hook that was begun, except `on_failure`.
    pub at: Option<String>,
    /// What served at its end.
    pub serving: Option<Serving>,
    /// Whether the files that it checked out and built are on the disk.
    pub synced: bool,
}

impl Summary {
    /// Reads the journal of a run.
    ///
    /// # Errors
    /// If it does not exist, cannot be read, has a newer format, or does not begin like a journal.
    pub fn read(path: &Path) -> Result<Self, JournalError> {
        let reader = Reader::open(path)?;
        // Checked first: otherwise a run that ends in between would look killed.
        let is_being_written = reader.is_being_written();
        let io = |source| JournalError::Io { path: path.to_owned(), source };
        let text = ends(path).map_err(io)?;
        let mut summary: Option<Self> = None;
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            match parse(line, number + 1) {
                Ok(entry) => match (&mut summary, entry) {
                    (Some(summary), entry) => summary.add(&entry),
                    (none, entry) => *none = Self::begun(entry),
                },
                Err(newer @ JournalError::Newer(_)) => return Err(newer),
                Err(_) => {}
            }
        }
        let mut summary = summary.ok_or(JournalError::Damaged { line: 1 })?;
        if !summary.state.is_over() && !is_being_written {
            summary.state = State::Killed;
        }
        Ok(summary)
    }

    fn begun(entry: Entry) -> Option<Self> {
        let Event::Begun { run, project, pipeline, by, pushed, strict, pid, boot, .. } = entry.event else {
            return None;
        };
        Some(Self {
            id: run,
            project,
            pipeline,
            state: State::Running,
            recovered: false,
            version: None,
            release: None,
            branch: None,
            commit: None,
            pushed,
            strict,
            pid,
            boot,
            by,
            started_at: entry.at,
            finished_at: None,
            seconds: None,
            error: Vec::new(),
            at: None,
            serving: None,
            synced: false,
        })
    }

    fn add(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Waiting { .. } => self.state = State::Waiting,
            Event::Waited => self.state = State::Running,
            Event::Planned { pipeline, version, release, branch, commit, .. } => {
                self.pipeline = Some(pipeline.clone());
                self.version = Some(version.clone());
                self.release = Some(release.clone());
                self.branch = Some(branch.clone());
                // A restart and a rollback have none.
                self.commit = Some(commit.clone()).filter(|commit| !commit.is_empty());
            }
            Event::FellBack { release, .. } => self.release = Some(release.clone()),
            Event::Recovered { .. } => self.recovered = true,
            Event::Synced => self.synced = true,
            Event::StepBegun { step } => self.at = Some(step.clone()),
            Event::HookBegun { hook, .. } if hook != ON_FAILURE => self.at = Some(hook.clone()),
            Event::Ended { outcome, seconds, error, serving, .. } => {
                self.state = (*outcome).into();
                self.seconds = Some(*seconds);
                self.error.clone_from(error);
                self.serving.clone_from(serving);
                self.finished_at = Some(entry.at);
            }
            _ => {}
        }
    }
}

/// The text of a short file, or the beginning and the end of a long one. The line where they are joined is invalid.
fn ends(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut text = Vec::new();
    if length <= 2 * END {
        file.read_to_end(&mut text)?;
        return Ok(text);
    }
    file.by_ref().take(END).read_to_end(&mut text)?;
    file.seek(SeekFrom::Start(length - END))?;
    file.take(END).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Events, Journal};

    fn begun() -> Event {
        Event::Begun {
            run: "1".to_owned(),
            project: "shop".to_owned(),
            pipeline: None,
            by: "deploy".to_owned(),
            gatling: "0.1.0".to_owned(),
            pushed: None,
            strict: false,
            pid: None,
            boot: None,
        }
    }

    fn planned() -> Event {
        Event::Planned {
            pipeline: "upgrade".to_owned(),
            version: "0.2.0".to_owned(),
            release: "0.2.0".to_owned(),
            previous: None,
            branch: "main".to_owned(),
            commit: "1a2b3c4".to_owned(),
            steps: Vec::new(),
            strategy: None,
            strategy_reason: None,
        }
    }

    fn ended() -> Event {
        Event::Ended {
            outcome: Outcome::Succeeded,
            seconds: 1.5,
            error: Vec::new(),
            serving: None,
            again: None,
            places: Vec::new(),
        }
    }

    #[test]
    fn a_run_is_running_until_it_ends_or_its_process_exits() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let state = || Summary::read(&path).expect("it can be read").state;
        let events = Events::new(Journal::create(&path, 1000).expect("it can be made"));
        events.emit(begun());
        assert_eq!(state(), State::Running);
        events.emit(Event::Waiting { holder: "another".to_owned() });
        assert_eq!(state(), State::Waiting);
        events.emit(Event::Waited);
        events.emit(planned());
        events.emit(Event::StepBegun { step: "mix_compile".to_owned() });
        drop(events);
        let summary = Summary::read(&path).expect("it can be read");
        assert_eq!((summary.state, summary.at.as_deref()), (State::Killed, Some("mix_compile")));
        assert_eq!(summary.pipeline.as_deref(), Some("upgrade"));
    }

    #[test]
    fn on_failure_is_not_reported_as_the_place_where_the_run_failed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let events = Events::new(Journal::create(&path, 1000).expect("it can be made"));
        events.emit(begun());
        events.emit(Event::StepBegun { step: "mix_compile".to_owned() });
        events.emit(Event::HookBegun { hook: ON_FAILURE.to_owned(), file: "upgrade.wasm".to_owned() });
        assert_eq!(Summary::read(&path).expect("it can be read").at.as_deref(), Some("mix_compile"));
    }

    #[test]
    fn only_both_ends_of_a_long_journal_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let events = Events::new(Journal::create(&path, 10_000_000).expect("it can be made"));
        events.emit(begun());
        events.emit(planned());
        for _ in 0..3 * END / 10_000 {
            events.emit(Event::Output { text: "x".repeat(10_000), open: false });
        }
        events.emit(ended());
        drop(events);
        let summary = Summary::read(&path).expect("it can be read");
        assert_eq!((summary.state, summary.seconds), (State::Succeeded, Some(1.5)));
        assert_eq!(summary.version.as_deref(), Some("0.2.0"));
    }

    #[test]
    fn a_file_that_does_not_begin_like_a_journal_is_damaged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        for text in ["", "rubbish\n", "{\"v\":1,\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"waited\"}\n"] {
            std::fs::write(&path, text).expect("a file");
            assert!(matches!(Summary::read(&path), Err(JournalError::Damaged { line: 1 })), "{text:?}");
        }
    }
}
