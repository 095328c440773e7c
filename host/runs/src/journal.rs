//! Writing a journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use gatling_process::Command;

use crate::event::{Change, Entry, Event, Level};
use crate::fault;
use crate::output::Share;
use crate::redact::Redactor;

/// Takes events.
pub trait Sink: Send + Sync {
    /// Takes an event.
    fn take(&self, event: Event);

    /// Returns when all events are on the disk, if this sink keeps them there.
    ///
    /// # Errors
    /// When they can't be written.
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Keeps the values of `redactor` out of all further events.
    fn hide(&self, _redactor: Redactor) {}
}

/// Where the events of a run go. Clones lead to the same place.
#[derive(Clone)]
pub struct Events(Arc<dyn Sink>);

impl Events {
    /// Events that go to `sink`.
    pub fn new(sink: impl Sink + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Events that are discarded.
    #[must_use]
    pub fn none() -> Self {
        struct Nowhere;
        impl Sink for Nowhere {
            fn take(&self, _: Event) {}
        }
        Self::new(Nowhere)
    }

    /// Emits an event.
    pub fn emit(&self, event: Event) {
        self.0.take(event);
    }

    /// Emits a note for users.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(Event::Note { level: Level::Info, text: text.into() });
    }

    /// Emits a warning.
    pub fn warn(&self, text: impl Into<String>) {
        self.emit(Event::Note { level: Level::Warning, text: text.into() });
    }

    /// Emits a note that users see only with `--verbose`.
    pub fn debug(&self, text: impl Into<String>) {
        self.emit(Event::Note { level: Level::Debug, text: text.into() });
    }

    /// Something is about to be changed. Returns when this event is on the disk.
    ///
    /// # Errors
    /// When it can't be written. Then nothing must be changed, because no later run could finish or undo it.
    pub fn changing(&self, change: Change, to: impl Into<String>, undo: Vec<Command>) -> Result<()> {
        self.emit(Event::Changing { change, to: to.into(), undo });
        self.0.sync().context(
            "cannot write the next change to the run's journal, so nothing is changed; is the disk full? See `df -h`",
        )
    }

    /// The change was made.
    pub fn changed(&self, change: Change) {
        self.emit(Event::Changed { change });
        // If this can't be written, whoever reads the journal checks what is there.
        _ = self.0.sync();
    }

    /// Returns when all events are on the disk, or can't be written.
    pub fn sync(&self) {
        _ = self.0.sync();
    }

    /// Keeps the values of `redactor` out of all further events.
    pub fn hide(&self, redactor: Redactor) {
        self.0.hide(redactor);
    }
}

/// The journal of a run in progress. As long as this value lives, the process holds a lock on the file, so that others
/// can tell a run in progress from one that was killed.
pub struct Journal {
    state: Mutex<State>,
}

struct State {
    file: File,
    redactor: Redactor,
    /// How many bytes of output are kept for each step and hook.
    most: usize,
    share: Share,
    /// The error of the last write, if it failed.
    failed: Option<io::ErrorKind>,
}

impl Journal {
    /// Creates a journal that keeps `most` bytes of the output of each step and hook.
    ///
    /// # Errors
    /// When the file exists, or can't be created.
    pub fn create(path: &Path, most: usize) -> Result<Self> {
        let create = || -> io::Result<File> {
            let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
            file.lock()?;
            // So that the journal is still there after a power failure: its name, and that of its folder.
            for folder in path.ancestors().skip(1).take(2).filter(|folder| !folder.as_os_str().is_empty()) {
                File::open(folder)?.sync_all()?;
            }
            Ok(file)
        };
        let file = create().with_context(|| format!("cannot write the journal {}", path.display()))?;
        let state = State { file, redactor: Redactor::default(), most, share: Share::new(most), failed: None };
        Ok(Self { state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Journal {
    fn take(&self, event: Event) {
        let mut state = self.state();
        match event {
            Event::Output { text, open } => state.output(&text, open),
            Event::StepBegun { .. } | Event::StepEnded { .. } | Event::HookBegun { .. } | Event::HookEnded { .. } => {
                state.end_output();
                state.write(event);
            }
            Event::Ended { .. } => {
                state.end_output();
                state.write(event);
                _ = state.sync();
            }
            event => state.write(event),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.state().sync()
    }

    fn hide(&self, redactor: Redactor) {
        self.state().redactor = redactor;
    }
}

impl State {
    fn output(&mut self, text: &str, open: bool) {
        let kept = self.share.take(text, open, &self.redactor);
        if let Some(kept) = kept {
            self.append(&Event::Output { text: kept.text, open: kept.open });
        }
    }

    /// The step or hook has no more output.
    fn end_output(&mut self) {
        let share = std::mem::replace(&mut self.share, Share::new(self.most));
        let rest = share.finish(&self.redactor);
        if let Some(text) = rest.rest {
            self.append(&Event::Output { text, open: false });
        }
        if rest.cut > 0 {
            self.append(&Event::OutputCut { bytes: rest.cut });
        }
        if let Some(text) = rest.tail {
            self.append(&Event::Output { text, open: false });
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self.failed {
            Some(kind) => Err(kind.into()),
            None => self.file.sync_data(),
        }
    }

    fn write(&mut self, mut event: Event) {
        let redactor = self.redactor.clone();
        event.change_texts(|text| redactor.redact(text));
        self.append(&event);
    }

    /// A full disk must not end a deployment that can still succeed.
    fn append(&mut self, event: &Event) {
        let Ok(mut line) = serde_json::to_vec(&Entry::now(event.clone())) else { return };
        line.push(b'\n');
        if self.failed.is_some() {
            // What was written last may have no end.
            line.insert(0, b'\n');
        }
        let point = fault::point(|| format!("event {}", event.label()));
        self.failed = point.and_then(|()| self.file.write_all(&line)).err().map(|error| error.kind());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reader;

    fn events(path: &Path) -> Vec<Event> {
        Reader::open(path).expect("it is there").map(|entry| entry.expect("it can be read").event).collect()
    }

    fn output(text: &str) -> Event {
        Event::Output { text: text.to_owned(), open: false }
    }

    #[test]
    fn events_come_back_as_they_were_taken_but_for_secrets() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let events_of_run = Events::new(Journal::create(&path, 1000).expect("it can be made"));
        events_of_run.hide(Redactor::new([("TOKEN", "hunter2"), ("WORD", "note")], &[]));
        events_of_run.note("hunter2 is the token");
        events_of_run.emit(output("a\nhunter2"));
        let undo = vec![Command::new("rm", ["note"], Path::new("/"))];
        events_of_run.changing(Change::Site, "hunter2", undo.clone()).expect("written");
        let taken = [
            Event::Note { level: Level::Info, text: "[TOKEN] is the token".to_owned() },
            output("a\n[TOKEN]"),
            Event::Changing { change: Change::Site, to: "[TOKEN]".to_owned(), undo },
        ];
        assert_eq!(events(&path), taken);
    }

    #[test]
    fn each_step_has_a_share_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.jsonl");
        let journal = Journal::create(&path, 16).expect("it can be made");
        for step in ["one", "two"] {
            journal.take(Event::StepBegun { step: step.to_owned() });
            for line in ["0123", "4567", "left out", "the end"] {
                journal.take(output(line));
            }
        }
        journal.take(Event::StepEnded { step: "two".to_owned(), ok: true, seconds: 0.1 });
        let events = events(&path);
        let of_one = &events[1..5];
        assert_eq!(of_one[..2], [output("0123"), output("4567")]);
        assert_eq!(events.iter().filter(|event| **event == output("0123")).count(), 2);
        assert!(events.iter().any(|event| matches!(event, Event::OutputCut { bytes } if *bytes > 8)), "{events:#?}");
    }

    #[test]
    fn what_cannot_be_noted_must_not_be_changed() {
        let full = OpenOptions::new().append(true).open("/dev/full").expect("Linux has it");
        let state = State { file: full, redactor: Redactor::default(), most: 10, share: Share::new(10), failed: None };
        let events = Events::new(Journal { state: Mutex::new(state) });
        events.note("goes nowhere, and ends nothing");
        let error = events.changing(Change::Release, "0.2.0", Vec::new()).expect_err("the disk is full");
        assert!(format!("{error:#}").contains("df -h"), "{error:#}");
    }
}
