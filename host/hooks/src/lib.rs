//! Hosts hooks: functions that a program's users write, in any language, and that it calls before and after its
//! steps. Hooks are exported functions of a WebAssembly component that runs in a sandbox. Only this crate uses
//! wasmtime.
//!
//! A [`HooksFile`] says where the component is, which hooks the program calls, and what they may do and use.
//! [`HooksFile::prepare`] inspects and compiles it on a separate thread. [`Hooks::load`] returns the exported
//! hooks, and [`Hooks::call`] calls one of them. Everything that a hook does is reported as a [`HookEvent`].

mod allocator;
mod cache;
mod call;
pub mod compile;
mod contract;
mod effects;
mod event;
mod files;
pub mod inspect;
mod interface;
mod limits;
mod output;
mod preload;
mod program;
mod requests;
mod trial;
mod types;

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use gatling_grants::Grants;
use gatling_process::Variables;
use sha2::{Digest as _, Sha256};

pub use allocator::Allocator;
pub use contract::{EnvRecord, FailureRecord, WIT};
pub use effects::PlannedEffect;
pub use event::{HookEvent, Level, Sink};
pub use gatling_grants as grants;
pub use gatling_names::{Hook, HookPoint, Name};
pub use limits::{LimitHit, Limits};
pub use preload::{Preload, compile_ahead};
pub use trial::{Trial, TrialResult};

use call::Caller;
use compile::Compiler;
use effects::Effects;
use inspect::{HookReport, Inspection};
use preload::Code;

/// A hooks file larger than this, in bytes, is refused unread. The largest that a toolchain builds, Python's,
/// have some 20 MB.
pub const MAX_FILE_SIZE: u64 = 256 * 1024 * 1024;

/// A hooks file, with the grants and limits of its hooks.
#[derive(Clone, Debug)]
pub struct HooksFile {
    /// Where it is.
    pub path: PathBuf,
    /// The pipeline whose hooks it contains.
    pub pipeline: Name,
    /// The hooks of all pipelines of the program, in order.
    pub known: Vec<Hook>,
    /// What its hooks may do beyond reading the env record and logging.
    pub grants: Grants,
    /// The limits of its hooks.
    pub limits: Limits,
    /// The folder of compiled code. It must belong to this user, and no one else may write to it.
    pub cache_dir: PathBuf,
    /// How to compile the file.
    pub compiler: Compiler,
}

/// The input of hooks.
pub struct HookInput {
    /// The env record that each hook gets.
    pub env: EnvRecord,
    /// The variables that can be granted to hooks.
    pub variables: Variables,
    /// The command that sets such a variable, without its argument, for error messages.
    pub set_command: String,
}

impl HookInput {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name)
    }
}

/// One call of one hook.
#[derive(Clone)]
pub struct Call {
    /// The hook.
    pub hook: Hook,
    /// The run's id.
    pub run_id: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When the run started.
    pub started_at: SystemTime,
    /// Receives the events of the call.
    pub events: Sink,
    /// The failure record, for `on_failure`.
    pub failure: Option<FailureRecord>,
    /// When this is set, the call is ended. It is then an error.
    pub stop: Arc<AtomicBool>,
}

/// The hooks that the hooks file of a pipeline exports.
pub struct Hooks {
    loaded: Option<Loaded>,
    warnings: Vec<String>,
}

struct Loaded {
    file: HooksFile,
    /// The exported hooks of the file's pipeline, in pipeline order.
    hooks: Vec<Hook>,
    /// By export name: whether the hook returns a result.
    fallible: HashMap<String, bool>,
    input: HookInput,
    code: Code,
    /// Created by the first call.
    caller: OnceCell<Caller>,
    /// Whether compiling or loading the code has failed.
    has_no_code: Cell<bool>,
}

impl HooksFile {
    /// The file's name: `upgrade.wasm`.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Starts a thread that inspects the file, and compiles it if it exports a hook of its pipeline.
    #[must_use]
    pub fn prepare(self) -> Preload {
        Preload::start(self)
    }

    /// Compiles the file and stores the code in the cache for the next run. Returns how long that took; `None` if
    /// the code was in the cache already, or the file has no hooks of its pipeline.
    ///
    /// # Errors
    /// When the file can't be used.
    pub fn precompile(self) -> Result<Option<Duration>> {
        let preload = self.prepare();
        let summary = preload.summary()?;
        if let Some(problem) = summary.fatal {
            bail!("{problem}");
        }
        match summary.exported(&preload.file).next() {
            Some(_) => preload.code.compiled(),
            None => Ok(None),
        }
    }

    /// The exported hooks of the file's pipeline, in order. Doesn't compile the file.
    ///
    /// # Errors
    /// When the file can't be read, or is not a component.
    pub fn exported(&self) -> Result<Vec<Hook>> {
        let inspection =
            Inspection::of(&read(&self.path)?, &self.pipeline, &self.known).map_err(|error| anyhow!(error))?;
        let exports: Vec<_> = inspection.callable().map(|(report, _)| report.export()).collect();
        Ok(self.own().filter(|hook| exports.contains(&hook.export())).cloned().collect())
    }

    /// The hooks of the file's pipeline.
    fn own(&self) -> impl Iterator<Item = &Hook> {
        self.known.iter().filter(|hook| hook.pipeline == self.pipeline)
    }
}

impl Hooks {
    /// No hooks.
    #[must_use]
    pub fn none() -> Self {
        Self { loaded: None, warnings: Vec::new() }
    }

    /// The hooks of a file that is being prepared. Waits for the inspection, but not for the code.
    ///
    /// # Errors
    /// When the file can't be read, is not a component, has a hook of the wrong type, or imports something that
    /// this host doesn't provide.
    pub fn load(preload: Preload, input: HookInput) -> Result<Self> {
        let summary = preload.summary()?;
        if let Some(problem) = summary.fatal {
            bail!("{problem}");
        }
        let hooks: Vec<_> = summary.exported(&preload.file).cloned().collect();
        if hooks.is_empty() {
            return Ok(Self { loaded: None, warnings: summary.warnings });
        }
        let loaded = Loaded {
            file: preload.file,
            hooks,
            fallible: summary.hooks,
            input,
            code: preload.code,
            caller: OnceCell::new(),
            has_no_code: Cell::new(false),
        };
        Ok(Self { loaded: Some(loaded), warnings: summary.warnings })
    }

    /// Warnings for the file's author: exports whose names look like hooks, but are not.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The exported hooks, in order.
    #[must_use]
    pub fn all(&self) -> &[Hook] {
        self.loaded.as_ref().map_or(&[], |loaded| &loaded.hooks)
    }

    /// Whether the file exports the hook (like Elixir's `function_exported?`), and loading its code has not failed.
    #[must_use]
    pub fn has(&self, hook: &Hook) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.hooks.contains(hook) && !loaded.has_no_code.get())
    }

    /// From now on, hooks get this env record.
    pub fn set_env(&mut self, env: EnvRecord) {
        if let Some(loaded) = &mut self.loaded {
            loaded.input.env = env;
        }
    }

    /// Whether a hook has run a program, changed a file or sent a request.
    #[must_use]
    pub fn have_acted(&self) -> bool {
        self.loaded.as_ref().and_then(|loaded| loaded.caller.get()).is_some_and(Caller::has_acted)
    }

    /// Calls a hook with a copy of the env record. Does nothing if it is not exported. The first call waits until
    /// the file is compiled.
    ///
    /// # Errors
    /// When the hook returns an error, traps, or exceeds a limit (a [`LimitHit`]).
    pub fn call(&self, call: &Call) -> Result<()> {
        let Some(loaded) = self.loaded.as_ref().filter(|_| self.has(&call.hook)) else { return Ok(()) };
        let fallible = loaded.fallible.get(&call.hook.export()).copied().unwrap_or_default();
        loaded.caller(&call.events)?.call(call, &loaded.input, fallible).with_context(|| {
            let hook = format!("the hook {} of {}", call.hook.name(), loaded.file.name());
            match &call.hook.point {
                HookPoint::Before(step) => format!("{hook}, before the step {step}"),
                HookPoint::After(step) => format!("{hook}, after the step {step}"),
                HookPoint::OnFailure => format!("{hook} failed too"),
            }
        })
    }
}

impl Loaded {
    fn caller(&self, events: &Sink) -> Result<&Caller> {
        if let Some(caller) = self.caller.get() {
            return Ok(caller);
        }
        let linked = self
            .code
            .wait(events)
            .inspect_err(|_| self.has_no_code.set(true))
            .with_context(|| format!("the hooks file {} cannot be compiled", self.file.name()))?;
        let caller = Caller::new(linked, self.file.grants.clone(), self.file.limits, Effects::default())?;
        Ok(self.caller.get_or_init(|| caller))
    }
}

/// Reads a hooks file.
///
/// # Errors
/// When it doesn't exist, is not a file, can't be read, or is larger than [`MAX_FILE_SIZE`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let metadata = fs::metadata(path).with_context(cannot)?;
    if !metadata.is_file() {
        bail!("{} is not a file", path.display());
    }
    if metadata.len() > MAX_FILE_SIZE {
        bail!(
            "{} has {} MB; a hooks file may have at most {} MB",
            path.display(),
            metadata.len() >> 20,
            MAX_FILE_SIZE >> 20
        );
    }
    fs::read(path).with_context(cannot)
}

/// The SHA-256 of a hooks file, in hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    cache::hex(&Sha256::digest(bytes))
}

impl HookReport {
    fn export(&self) -> String {
        self.name.replace('_', "-")
    }
}

#[cfg(test)]
mod tests;
