//! Getting a hooks file ready on threads of its own, beside the work that comes before the first
//! hook: what it exports is known early, and its code when it is needed.

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

/// A wait that people don't notice.
const UNNOTICED: Duration = Duration::from_millis(300);

/// Only a fault of Gatling itself ends the thread like this.
const SILENT: &str = "compiling it ended without a word";

/// A hooks file that is being made ready.
pub struct Preload {
    pub(crate) file: HooksFile,
    looked: Receiver<Result<Looked>>,
    pub(crate) code: Code,
}

/// What a look into a hooks file shows, as far as a run needs it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Looked {
    pub(crate) digest: String,
    pub(crate) size: u64,
    /// By export name: whether the hook returns a result.
    pub(crate) hooks: HashMap<String, bool>,
    pub(crate) warnings: Vec<String>,
    /// What no call gets past.
    pub(crate) fatal: Option<String>,
}

/// The code of a hooks file, when it is ready.
pub(crate) struct Code {
    file: String,
    made: Mutex<Receiver<Made>>,
}

/// What came of making it.
struct Made {
    linked: Result<Linked>,
    size: u64,
    /// How long it was compiled; none where it was there already.
    compiled: Option<Duration>,
    notes: Vec<String>,
}

impl Looked {
    /// The hooks of the file's pipeline that it exports, in order.
    pub(crate) fn exported<'a>(&'a self, file: &'a HooksFile) -> impl Iterator<Item = &'a Hook> {
        file.own().filter(|hook| self.hooks.contains_key(&hook.export()))
    }
}

impl Preload {
    pub(crate) fn start(file: HooksFile) -> Self {
        let (tell_look, looked) = mpsc::channel();
        let (tell_code, made) = mpsc::channel();
        let name = file.name();
        let source = file.clone();
        thread::spawn(move || {
            let cache = Cache::open(&source.cache_dir);
            let mut source = Source { file: source, bytes: None, engine: None };
            let looked = source.look(cache.as_ref());
            let wanted = looked
                .as_ref()
                .ok()
                .filter(|looked| looked.fatal.is_none() && looked.exported(&source.file).next().is_some());
            let wanted = wanted.cloned();
            // Whoever doesn't wait any more has found something else that ends the run.
            _ = tell_look.send(looked);
            if let Some(looked) = wanted {
                _ = tell_code.send(source.make(&looked, cache.as_ref()));
            }
        });
        Self { file, looked, code: Code { file: name, made: Mutex::new(made) } }
    }

    /// What the file shows.
    pub(crate) fn looked(&self) -> Result<Looked> {
        self.looked.recv().map_err(|_| anyhow!("looking into it ended without a word"))?
    }
}

impl Code {
    /// Waits until the code is ready, and says so where that takes long enough to be noticed.
    pub(crate) fn wait(&self, events: &Sink) -> Result<Linked> {
        self.wait_timed(events).map(|(linked, _)| linked)
    }

    /// As [`Code::wait`]; tells as well how long it was compiled, where it was.
    pub(crate) fn wait_timed(&self, events: &Sink) -> Result<(Linked, Option<Duration>)> {
        let made = self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let made = match made.recv_timeout(UNNOTICED) {
            Ok(made) => made,
            Err(RecvTimeoutError::Disconnected) => return Err(anyhow!(SILENT)),
            Err(RecvTimeoutError::Timeout) => {
                events.emit(HookEvent::Note(format!(
                    "compiling {}: this is done once for each version of the file",
                    self.file
                )));
                made.recv().map_err(|_| anyhow!(SILENT))?
            }
        };
        if let Some(time) = made.compiled {
            let kilobytes = made.size.div_ceil(1024);
            let text = format!("{}, {kilobytes} KB, was compiled in {}", self.file, duration(time));
            events.emit(HookEvent::Debug(text));
        }
        for note in &made.notes {
            events.emit(HookEvent::Note(note.clone()));
        }
        made.linked.map(|linked| (linked, made.compiled))
    }

    /// Waits until the code is ready, and tells how long it took to compile it; none where that
    /// had been done before.
    pub(crate) fn compiled(&self) -> Result<Option<Duration>> {
        let made = self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let made = made.recv().map_err(|_| anyhow!(SILENT))?;
        made.linked.map(|_| made.compiled)
    }
}

/// Compiles a hooks file that is not in its place yet, so that its code is there when its turn comes. `file` says
/// where it will be, and these are its bytes. Nothing is said of what is wrong with them: that has its place then.
pub fn compile_ahead(file: &HooksFile, bytes: &[u8]) {
    let compile = || -> Result<()> {
        let cache = Cache::open(&file.cache_dir).context("nothing can be kept")?;
        let inspection = Inspection::of(bytes, &file.pipeline, &file.known).map_err(|error| anyhow!(error))?;
        let is_of_use = inspection.fatal_problem().is_none() && inspection.callable().next().is_some();
        if !is_of_use || cache.has(&call::engine()?, &digest(bytes)) || invalid(bytes).is_some() {
            return Ok(());
        }
        // Of those that wait, one after the other: others are at work meanwhile.
        let _turn = cache.turn("ahead")?;
        let mut copy = tempfile::NamedTempFile::new()?;
        copy.write_all(bytes)?;
        file.compiler.compile(copy.path(), &file.cache_dir, &file.limits)
    };
    match compile() {
        Ok(()) => tracing::debug!("what was pushed is compiled"),
        Err(error) => tracing::debug!(error = format!("{error:#}"), "what was pushed is not compiled"),
    }
}

/// What is wrong with the code in a hooks file, which a look at its outside doesn't show.
fn invalid(bytes: &[u8]) -> Option<String> {
    let error = Validator::new_with_features(FEATURES).validate_all(bytes).err()?;
    Some(format!("it is not valid: {error}"))
}

/// A hooks file, read when there is need.
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

    /// Looks into the file, or into what is known of it.
    fn look(&mut self, cache: Option<&Cache>) -> Result<Looked> {
        let key = self.file.path.clone();
        let before = fs::metadata(&key).with_context(|| format!("cannot read {}", key.display()))?;
        if let Some(known) = cache.and_then(|cache| cache.recall(&key, &before)) {
            return Ok(known);
        }
        let engine = self.engine()?;
        let (pipeline, known) = (self.file.pipeline.clone(), self.file.known.clone());
        let bytes = self.bytes()?;
        let inspection = Inspection::of(bytes, &pipeline, &known).map_err(|error| anyhow!(error))?;
        let unknown = inspection.hooks.iter().filter(|report| report.status == Status::Unknown);
        let mut looked = Looked {
            digest: digest(bytes),
            size: bytes.len() as u64,
            hooks: inspection.callable().map(|(report, fallible)| (report.export(), fallible)).collect(),
            warnings: unknown.map(|report| report.message.clone()).collect(),
            fatal: inspection.fatal_problem().map(str::to_owned),
        };
        // Compiling goes on beside the first steps. What it would refuse is to be known before them.
        if looked.fatal.is_none() && !cache.is_some_and(|cache| cache.has(&engine, &looked.digest)) {
            looked.fatal = invalid(bytes);
        }
        if let Some(cache) = cache.filter(|_| looked.fatal.is_none()) {
            cache.remember(&key, &before, &looked);
        }
        Ok(looked)
    }

    /// Loads the file's code, or has it compiled.
    fn make(mut self, looked: &Looked, cache: Option<&Cache>) -> Made {
        let cache_dir = self.file.cache_dir.clone();
        let mut made = Made { linked: Err(anyhow!(SILENT)), size: looked.size, compiled: None, notes: Vec::new() };
        made.linked = match cache {
            Some(cache) => self.load_or_compile(looked, cache, &cache_dir, &mut made.compiled),
            None => {
                made.notes.push(format!(
                    "compiled hooks cannot be kept: {} has to be yours, and writable for nobody else",
                    cache_dir.display()
                ));
                tempfile::tempdir().context("cannot make a folder for compiled hooks").and_then(|folder| {
                    let cache = Cache::open(folder.path()).context("cannot use a folder of its own")?;
                    self.load_or_compile(looked, &cache, folder.path(), &mut made.compiled)
                })
            }
        };
        made
    }

    fn load_or_compile(
        &mut self,
        looked: &Looked,
        cache: &Cache,
        cache_dir: &Path,
        compiled: &mut Option<Duration>,
    ) -> Result<Linked> {
        let engine = self.engine()?;
        let component = match cache.load(&engine, &looked.digest) {
            Ok(component) => component,
            Err(why) => {
                tracing::debug!(why, "compiling");
                let begun = Instant::now();
                self.file.compiler.compile(&self.file.path, cache_dir, &self.file.limits)?;
                *compiled = Some(begun.elapsed());
                cache
                    .load(&engine, &looked.digest)
                    .map_err(|why| anyhow!("it changed while it was compiled, or the disk is full: {why}"))?
            }
        };
        Linked::new(engine, &component)
    }
}
