//! Prepares a hooks file on a separate thread, while the steps before the first hook run: first inspects it,
//! then loads or compiles its code.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use serde::{Deserialize, Serialize};
use wasmparser::Validator;
use wasmtime::Engine;

use crate::cache::Cache;
use crate::call::{self, Linked};
use crate::event::{HookEvent, Sink};
use crate::inspect::{Inspection, Status};
use crate::interface::FEATURES;
use crate::{Hook, HooksFile, digest, read};
use gatling_text::duration;

/// How long to wait for the compiler before the user gets a note.
const NOTE_AFTER: Duration = Duration::from_millis(300);

const NO_CODE: &str = "the compiler thread ended without a result (a bug in Gatling)";
const NO_SUMMARY: &str = "the thread that inspects it ended without a result (a bug in Gatling)";

/// A hooks file that is being prepared.
pub struct Preload {
    pub(crate) file: HooksFile,
    summary: Receiver<Result<Summary>>,
    pub(crate) code: Code,
}

/// The result of inspecting a hooks file, as far as a run needs it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) digest: String,
    pub(crate) size: u64,
    /// By export name: whether the hook returns a result.
    pub(crate) hooks: HashMap<String, bool>,
    pub(crate) warnings: Vec<String>,
    /// The problem because of which no hook can be called.
    pub(crate) fatal: Option<String>,
}

/// The code of a hooks file, once it is ready.
pub(crate) struct Code {
    file: String,
    prepared: Mutex<Receiver<PreparedCode>>,
}

/// The result of loading or compiling the code.
struct PreparedCode {
    linked: Result<Linked>,
    size: u64,
    /// How long compiling took; `None` if the code was in the cache.
    compiled: Option<Duration>,
    notes: Vec<String>,
}

impl Summary {
    /// The exported hooks of the file's pipeline, in order.
    pub(crate) fn exported<'a>(&'a self, file: &'a HooksFile) -> impl Iterator<Item = &'a Hook> {
        file.own().filter(|hook| self.hooks.contains_key(&hook.export()))
    }
}

impl Preload {
    pub(crate) fn start(file: HooksFile) -> Self {
        let (summary_sender, summary) = mpsc::channel();
        let (code_sender, prepared) = mpsc::channel();
        let name = file.name();
        let source = file.clone();
        thread::spawn(move || {
            let cache = Cache::open(&source.cache_dir);
            let mut source = Source { file: source, bytes: None, engine: None };
            let summary = source.inspect(cache.as_ref());
            let wanted = summary
                .as_ref()
                .ok()
                .filter(|summary| summary.fatal.is_none() && summary.exported(&source.file).next().is_some());
            let wanted = wanted.cloned();
            // Sending fails if the run has ended early.
            _ = summary_sender.send(summary);
            if let Some(summary) = wanted {
                _ = code_sender.send(source.prepare_code(&summary, cache.as_ref()));
            }
        });
        Self { file, summary, code: Code { file: name, prepared: Mutex::new(prepared) } }
    }

    /// Waits for the result of the inspection.
    pub(crate) fn summary(&self) -> Result<Summary> {
        self.summary.recv().map_err(|_| anyhow!(NO_SUMMARY))?
    }
}

impl Code {
    /// Waits until the code is ready. Emits a note if that takes noticeably long.
    pub(crate) fn wait(&self, events: &Sink) -> Result<Linked> {
        self.wait_timed(events).map(|(linked, _)| linked)
    }

    /// As [`Code::wait`]; also returns how long compiling took, if the file was compiled.
    pub(crate) fn wait_timed(&self, events: &Sink) -> Result<(Linked, Option<Duration>)> {
        let receiver = self.prepared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let prepared = match receiver.recv_timeout(NOTE_AFTER) {
            Ok(prepared) => prepared,
            Err(RecvTimeoutError::Disconnected) => return Err(anyhow!(NO_CODE)),
            Err(RecvTimeoutError::Timeout) => {
                events.emit(HookEvent::Note(format!(
                    "compiling {}: this happens once for each version of the file",
                    self.file
                )));
                receiver.recv().map_err(|_| anyhow!(NO_CODE))?
            }
        };
        if let Some(time) = prepared.compiled {
            let kilobytes = prepared.size.div_ceil(1024);
            let text = format!("{}, {kilobytes} KB, was compiled in {}", self.file, duration(time));
            events.emit(HookEvent::Debug(text));
        }
        for note in &prepared.notes {
            events.emit(HookEvent::Note(note.clone()));
        }
        prepared.linked.map(|linked| (linked, prepared.compiled))
    }

    /// Waits until the code is ready, and returns how long compiling took; `None` if the code was in the cache.
    pub(crate) fn compiled(&self) -> Result<Option<Duration>> {
        let receiver = self.prepared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let prepared = receiver.recv().map_err(|_| anyhow!(NO_CODE))?;
        prepared.linked.map(|_| prepared.compiled)
    }
}

/// Compiles a hooks file before it is checked out, so that its code is in the cache when the run needs it. `file`
/// is the path that it will have, `bytes` its content. Problems are not reported here: the run reports them.
pub fn compile_ahead(file: &HooksFile, bytes: &[u8]) {
    let compile = || -> Result<()> {
        let cache = Cache::open(&file.cache_dir).context("cannot use the cache folder")?;
        let inspection = Inspection::of(bytes, &file.pipeline, &file.known).map_err(|error| anyhow!(error))?;
        let is_needed = inspection.fatal_problem().is_none() && inspection.callable().next().is_some();
        if !is_needed || cache.has(&call::engine()?, &digest(bytes)) || invalid(bytes).is_some() {
            return Ok(());
        }
        // One file at a time, because other runs need the processors too.
        let _lock = cache.lock("ahead")?;
        let mut copy = tempfile::NamedTempFile::new()?;
        copy.write_all(bytes)?;
        file.compiler.compile(copy.path(), &file.cache_dir, &file.limits)
    };
    match compile() {
        Ok(()) => tracing::debug!("compiled the pushed hooks file ahead"),
        Err(error) => tracing::debug!(error = format!("{error:#}"), "did not compile the pushed hooks file ahead"),
    }
}

/// Validates the function bodies of a hooks file, which the inspection doesn't. Returns the problem, if any.
fn invalid(bytes: &[u8]) -> Option<String> {
    let error = Validator::new_with_features(FEATURES).validate_all(bytes).err()?;
    Some(format!("it is not valid: {error}"))
}

/// A hooks file that is read when needed.
struct Source {
    file: HooksFile,
    bytes: Option<Vec<u8>>,
    engine: Option<Engine>,
}

impl Source {
    fn bytes(&mut self) -> Result<&[u8]> {
        let bytes = match self.bytes.take() {
            Some(bytes) => bytes,
            None => read(&self.file.path)?,
        };
        Ok(self.bytes.insert(bytes))
    }

    fn engine(&mut self) -> Result<Engine> {
        if let Some(engine) = &self.engine {
            return Ok(engine.clone());
        }
        Ok(self.engine.insert(call::engine()?).clone())
    }

    /// Inspects the file, or returns the cached result.
    fn inspect(&mut self, cache: Option<&Cache>) -> Result<Summary> {
        let key = self.file.path.clone();
        let before = fs::metadata(&key).with_context(|| format!("cannot read {}", key.display()))?;
        if let Some(cached) = cache.and_then(|cache| cache.recall(&key, &before)) {
            return Ok(cached);
        }
        let engine = self.engine()?;
        let (pipeline, known) = (self.file.pipeline.clone(), self.file.known.clone());
        let bytes = self.bytes()?;
        let inspection = Inspection::of(bytes, &pipeline, &known).map_err(|error| anyhow!(error))?;
        let unknown = inspection.hooks.iter().filter(|report| report.status == Status::Unknown);
        let mut summary = Summary {
            digest: digest(bytes),
            size: bytes.len() as u64,
            hooks: inspection.callable().map(|(report, fallible)| (report.export(), fallible)).collect(),
            warnings: unknown.map(|report| report.message.clone()).collect(),
            fatal: inspection.fatal_problem().map(str::to_owned),
        };
        // The file is compiled while the first steps run. Invalid code must be reported before them.
        if summary.fatal.is_none() && !cache.is_some_and(|cache| cache.has(&engine, &summary.digest)) {
            summary.fatal = invalid(bytes);
        }
        if let Some(cache) = cache.filter(|_| summary.fatal.is_none()) {
            cache.remember(&key, &before, &summary);
        }
        Ok(summary)
    }

    /// Loads the file's code from the cache, or compiles it.
    fn prepare_code(mut self, summary: &Summary, cache: Option<&Cache>) -> PreparedCode {
        let cache_dir = self.file.cache_dir.clone();
        let mut prepared =
            PreparedCode { linked: Err(anyhow!(NO_CODE)), size: summary.size, compiled: None, notes: Vec::new() };
        prepared.linked = match cache {
            Some(cache) => self.load_or_compile(summary, cache, &cache_dir, &mut prepared.compiled),
            None => {
                prepared.notes.push(format!(
                    "cannot store compiled hooks: the folder {} must be yours, and writable for no one else",
                    cache_dir.display()
                ));
                tempfile::tempdir().context("cannot create a folder for compiled hooks").and_then(|folder| {
                    let cache = Cache::open(folder.path()).context("cannot use the temporary folder")?;
                    self.load_or_compile(summary, &cache, folder.path(), &mut prepared.compiled)
                })
            }
        };
        prepared
    }

    fn load_or_compile(
        &mut self,
        summary: &Summary,
        cache: &Cache,
        cache_dir: &Path,
        compiled: &mut Option<Duration>,
    ) -> Result<Linked> {
        let engine = self.engine()?;
        let component = match cache.load(&engine, &summary.digest) {
            Ok(component) => component,
            Err(reason) => {
                tracing::debug!(reason, "compiling");
                let started = Instant::now();
                self.file.compiler.compile(&self.file.path, cache_dir, &self.file.limits)?;
                *compiled = Some(started.elapsed());
                cache.load(&engine, &summary.digest).map_err(|reason| {
                    anyhow!("it changed while it was being compiled, or the disk is full: {reason}")
                })?
            }
        };
        Linked::new(engine, &component)
    }
}
