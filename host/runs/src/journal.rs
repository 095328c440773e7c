//! Writing a journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use crate::event::{Change, Entry, Event, Level};
use crate::output::Share;
use crate::redact::Redactor;

/// Takes events.
pub trait Sink: Send + Sync {
    /// Takes an event.
    fn take(&self, event: Event);

    /// Returns when everything that was taken is on the disk, where it is kept there.
    ///
    /// # Errors
    /// When it isn't.
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Has no secret value of these variables be written down from now on.
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

    /// Events that go nowhere.
    #[must_use]
    pub fn none() -> Self {
        struct Nowhere;
        impl Sink for Nowhere {
            fn take(&self, _: Event) {}
        }
        Self::new(Nowhere)
    }

    /// An event.
    pub fn emit(&self, event: Event) {
        self.0.take(event);
    }

    /// Something about what happens.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(Event::Note { level: Level::Info, text: text.into() });
    }

    /// Something that the user should know, and that is no failure.
    pub fn warn(&self, text: impl Into<String>) {
        self.emit(Event::Note { level: Level::Warning, text: text.into() });
    }

    /// Something for those who look for a fault.
    pub fn debug(&self, text: impl Into<String>) {
        self.emit(Event::Note { level: Level::Debug, text: text.into() });
    }

    /// Something is about to be changed. Returns when that is on the disk.
    ///
    /// # Errors
    /// When it can't be written: nothing must be changed then, as nobody could finish or undo it.
    pub fn changing(&self, change: Change, to: impl Into<String>, undo: Option<serde_json::Value>) -> Result<()> {
        self.emit(Event::Changing { change, to: to.into(), undo });
        self.0.sync().context(
            "what is about to be changed cannot be noted in the run's journal, so it is not changed; is the disk full? See \
             `df -h`",
        )
    }

    /// It was changed.
    pub fn changed(&self, change: Change) {
        self.emit(Event::Changed { change });
        // It was changed, whether that can be noted or not. What reads the journal looks again.
        _ = self.0.sync();
    }

    /// Returns when all that happened is on the disk, or can't be.
    pub fn sync(&self) {
        _ = self.0.sync();
    }

    /// Has no value of `redactor` be written down from now on.
    pub fn hide(&self, redactor: Redactor) {
        self.0.hide(redactor);
    }
}

/// The journal of a run, which is under way as long as this lives. The process that has it holds a
/// lock on the file: so others know whether a journal without an end is one of a run that was killed.
pub struct Journal {
    state: Mutex<State>,
}

struct State {
    file: File,
    redactor: Redactor,
    /// How much output of a step or hook is kept, in bytes.
    most: usize,
    share: Share,
    /// Why the last event could not be written, if it couldn't.
    failed: Option<io::ErrorKind>,
}

impl Journal {
    /// Begins a journal. Of the output of each step and hook it keeps `most` bytes.
    ///
    /// # Errors
    /// When the file is there already, or can't be made.
    pub fn create(path: &Path, most: usize) -> Result<Self> {
        let create = || -> io::Result<File> {
            let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
            file.lock()?;
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

    /// No more output belongs to what was under way.
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

    /// A journal on a full disk must not end a deployment that can still go well.
    fn append(&mut self, event: &Event) {
        let Ok(mut line) = serde_json::to_vec(&Entry::now(event.clone())) else { return };
        line.push(b'\n');
        if self.failed.is_some() {
            // What was written last may have no end.
            line.insert(0, b'\n');
        }
        self.failed = self.file.write_all(&line).err().map(|error| error.kind());
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
        events_of_run.changing(Change::Site, "hunter2", Some(serde_json::json!(["rm", "hunter2"]))).expect("written");
        let taken = [
            Event::Note { level: Level::Info, text: "[TOKEN] is the token".to_owned() },
            output("a\n[TOKEN]"),
            Event::Changing {
                change: Change::Site,
                to: "[TOKEN]".to_owned(),
                undo: Some(serde_json::json!(["rm", "[TOKEN]"])),
            },
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
        let error = events.changing(Change::Release, "0.2.0", None).expect_err("the disk is full");
        assert!(format!("{error:#}").contains("df -h"), "{error:#}");
    }
}
