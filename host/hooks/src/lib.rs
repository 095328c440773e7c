//! Hosts hooks: a program's users write functions that it calls around its steps, in any language, as an
//! exported function of a WebAssembly component that runs in a sandbox. The only crate that knows wasmtime.
//!
//! A [`HooksFile`] says where the component is, which hooks the program calls, and what they may do and use.
//! [`HooksFile::prepare`] looks into it and compiles it while the program does something else, and
//! [`Hooks::load`] then offers what it exports to be called. Whatever happens on the way is a [`HookEvent`].

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

/// A hooks file larger than this, in bytes, is refused unread: the largest that toolchains make, Python's,
/// have some 20 MB.
pub const LARGEST: u64 = 256 * 1024 * 1024;

/// A hooks file, and what its hooks may do and use.
#[derive(Clone, Debug)]
pub struct HooksFile {
    /// Where it is.
    pub path: PathBuf,
    /// The pipeline whose hooks it holds.
    pub pipeline: Name,
    /// The hooks that the program calls: those of all its pipelines, in order.
    pub known: Vec<Hook>,
    /// What they may do beyond reading their env record and logging.
    pub grants: Grants,
    /// How much they may use.
    pub limits: Limits,
    /// The folder of compiled code. It must belong to this user, and nobody else may write to it.
    pub cache_dir: PathBuf,
    /// What compiles the file.
    pub compiler: Compiler,
}

/// What hooks are called with.
pub struct HookInput {
    /// The record that each of them gets.
    pub env: EnvRecord,
    /// The variables that they can be granted.
    pub variables: Variables,
    /// The command that sets such a variable, without the variable.
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
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the run began.
    pub started_at: SystemTime,
    /// Where its events go.
    pub events: Sink,
    /// What failed, for the hook that is called because of it.
    pub failure: Option<FailureRecord>,
}

/// The hooks of a pipeline: those that its hooks file exports, or none at all.
pub struct Hooks {
    loaded: Option<Loaded>,
    warnings: Vec<String>,
}

struct Loaded {
    file: HooksFile,
    /// The hooks of the file's pipeline that it exports, in pipeline order.
    hooks: Vec<Hook>,
    /// By export name: whether the hook returns a result.
    fallible: HashMap<String, bool>,
    input: HookInput,
    code: Code,
    /// What calls them, from the first call on.
    caller: OnceCell<Caller>,
    /// Whether the code can't be had.
    is_without_code: Cell<bool>,
}

impl HooksFile {
    /// The file's name: `upgrade.wasm`.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Looks into the file, and compiles it if it exports a hook of its pipeline, on a thread of its own.
    #[must_use]
    pub fn prepare(self) -> Preload {
        Preload::start(self)
    }

    /// Compiles the file and keeps the code, so that the first run with it need not. Returns how long that took;
    /// none where it had been done before, or the file has no hooks of its pipeline.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn precompile(self) -> Result<Option<Duration>> {
        let preload = self.prepare();
        let looked = preload.looked()?;
        if let Some(problem) = looked.fatal {
            bail!("{problem}");
        }
        match looked.exported(&preload.file).next() {
            Some(_) => preload.code.compiled(),
            None => Ok(None),
        }
    }

    /// The hooks of its pipeline that the file exports, in order, without compiling it.
    ///
    /// # Errors
    /// When it can't be read, or is not a component.
    pub fn exported(&self) -> Result<Vec<Hook>> {
        let inspection =
            Inspection::of(&read(&self.path)?, &self.pipeline, &self.known).map_err(|error| anyhow!(error))?;
        let exports: Vec<_> = inspection.callable().map(|(report, _)| report.export()).collect();
        Ok(self.own().filter(|hook| exports.contains(&hook.export())).cloned().collect())
    }

    /// The hooks that the program calls of its pipeline.
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

    /// The hooks of a file that is being prepared. Doesn't wait for its code.
    ///
    /// # Errors
    /// When the file can't be read, is not a component, has a hook of the wrong type, or needs what this host
    /// doesn't have.
    pub fn load(preload: Preload, input: HookInput) -> Result<Self> {
        let looked = preload.looked()?;
        if let Some(problem) = looked.fatal {
            bail!("{problem}");
        }
        let hooks: Vec<_> = looked.exported(&preload.file).cloned().collect();
        if hooks.is_empty() {
            return Ok(Self { loaded: None, warnings: looked.warnings });
        }
        let loaded = Loaded {
            file: preload.file,
            hooks,
            fallible: looked.hooks,
            input,
            code: preload.code,
            caller: OnceCell::new(),
            is_without_code: Cell::new(false),
        };
        Ok(Self { loaded: Some(loaded), warnings: looked.warnings })
    }

    /// What the file's author should know: names that look like a hook's, and are not.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The hooks that will be called, in order.
    #[must_use]
    pub fn all(&self) -> &[Hook] {
        self.loaded.as_ref().map_or(&[], |loaded| &loaded.hooks)
    }

    /// Whether the file exports the hook, Elixir's `function_exported?`, and its code can be had as far
    /// as that is known.
    #[must_use]
    pub fn has(&self, hook: &Hook) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.hooks.contains(hook) && !loaded.is_without_code.get())
    }

    /// Whether a hook that was called has done anything beyond looking: run a program, changed a
    /// file or sent a request.
    #[must_use]
    pub fn have_acted(&self) -> bool {
        self.loaded.as_ref().and_then(|loaded| loaded.caller.get()).is_some_and(Caller::has_acted)
    }

    /// Calls a hook with a copy of the env record; one that isn't exported is not an error. The first call waits
    /// until the file is compiled.
    ///
    /// # Errors
    /// When the hook returns an error or traps, or exceeds a limit: that is a [`LimitHit`].
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
            .inspect_err(|_| self.is_without_code.set(true))
            .with_context(|| format!("the hooks file {} cannot be compiled", self.file.name()))?;
        let caller = Caller::new(linked, self.file.grants.clone(), self.file.limits, Effects::default())?;
        Ok(self.caller.get_or_init(|| caller))
    }
}

/// Reads a hooks file.
///
/// # Errors
/// When it isn't there, is not a file, can't be read, or is larger than [`LARGEST`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let metadata = fs::metadata(path).with_context(cannot)?;
    if !metadata.is_file() {
        bail!("{} is not a file", path.display());
    }
    if metadata.len() > LARGEST {
        bail!("{} has {} MB; a hooks file has at most {} MB", path.display(), metadata.len() >> 20, LARGEST >> 20);
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
