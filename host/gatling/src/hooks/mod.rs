//! The hooks file of a project: load it, look into it, call what it exports. The only place
//! that knows wasmtime.

mod cache;
mod call;
pub mod compile;
mod contract;
mod effects;
mod files;
pub mod inspect;
mod interface;
mod limits;
mod output;
mod preload;
mod program;
mod requests;
pub mod sample;
mod shadows;
mod types;

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

pub use contract::{EnvRecord, FailureRecord};
pub use effects::PlannedEffect;
pub use preload::{Preload, compile_ahead};

use crate::env::Env;
use crate::task::{Hook, HookPoint, Task};
use call::Caller;
use effects::Effects;
use gatling_config::roots::Roots;
use gatling_config::settings::{OperatorSettings, ProjectSettings};
use gatling_grants::Grants;
use gatling_process::Variables;
use gatling_report::escape;
use gatling_runs::{Event, Events, Redactor};
use inspect::{HookReport, Inspection};
use limits::Limits;
use preload::Code;

/// A hooks file larger than this is refused unread: the largest that toolchains make, Python's,
/// have some 20 MB.
pub(crate) const LARGEST: u64 = 256 * 1024 * 1024;

/// The text of the contract, `wit/hooks.wit`.
pub const WIT: &str = contract::WIT;

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
    pub started_at: Timestamp,
    /// Where its events go.
    pub events: Events,
    /// What failed, for the hook that is called because of it.
    pub failure: Option<FailureRecord>,
}

/// What hooks are called with.
pub struct HookInput {
    /// The record that each of them gets.
    pub env: EnvRecord,
    /// The variables of the project's `.env`.
    pub variables: Variables,
}

impl HookInput {
    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name)
    }
}

impl From<&Env> for HookInput {
    fn from(env: &Env) -> Self {
        Self { env: EnvRecord::from(env), variables: env.variables.clone() }
    }
}

/// The hooks of a task: those that the project's hooks file exports, or none at all.
pub struct Hooks {
    loaded: Option<Loaded>,
}

struct Loaded {
    file: String,
    /// The hooks of the env's task that the file exports, in pipeline order.
    hooks: Vec<Hook>,
    /// By export name: whether the hook returns a result.
    fallible: HashMap<String, bool>,
    input: HookInput,
    grants: Grants,
    limits: Limits,
    code: Code,
    /// What calls them, from the first call on.
    caller: OnceCell<Caller>,
    /// Whether the code can't be had.
    is_without_code: Cell<bool>,
}

/// Said of a hooks file that is there and can't be used.
fn refusal(file: &str, path: &Path) -> String {
    format!(
        "the hooks file {file} cannot be used. `gatling hooks check {}` says all about it; to deploy without hooks, \
         remove {file} from the project",
        path.display()
    )
}

impl Hooks {
    /// Looks at the hooks file that is being made ready, and doesn't wait for its code. Where
    /// there is none, or it exports none of the task's hooks, nothing is compiled.
    ///
    /// # Errors
    /// When the file can't be read, is no component, has a hook of the wrong type, or needs
    /// what this Gatling doesn't have: the error names the file, and what to do.
    pub fn load(preload: Option<Preload>, env: &Env, events: &Events) -> Result<Self> {
        let (Some(preload), Some(path)) = (preload, env.hooks_file()) else { return Ok(Self { loaded: None }) };
        let file = env.task.hooks_file();
        let refuse = || refusal(&file, path);
        let looked = preload.looked().with_context(refuse)?;
        for warning in &looked.warnings {
            events.warn(format!("{file}: {warning}"));
        }
        if let Some(problem) = looked.fatal {
            return Err(anyhow!("{problem}")).with_context(refuse);
        }
        let hooks: Vec<_> = env.task.hooks().filter(|hook| looked.hooks.contains_key(&hook.export())).collect();
        let names = hooks.iter().map(|hook| hook.name()).collect();
        events.emit(Event::HooksLoaded { file: file.clone(), hooks: names });
        if hooks.is_empty() {
            return Ok(Self { loaded: None });
        }
        let limits = Limits::of(&env.settings.hooks, &env.operator.hooks);
        let grants = Grants::of(&env.settings.hooks.grants, &env.operator.hooks.grants, &env.paths.roots.config);
        Ok(Self {
            loaded: Some(Loaded {
                file,
                hooks,
                fallible: looked.hooks,
                input: HookInput::from(env),
                grants,
                limits,
                code: preload.code,
                caller: OnceCell::new(),
                is_without_code: Cell::new(false),
            }),
        })
    }

    /// The hooks that will be called, in order.
    #[must_use]
    pub fn all(&self) -> &[Hook] {
        self.loaded.as_ref().map_or(&[], |loaded| &loaded.hooks)
    }

    /// Whether the file exports the hook, Elixir's `function_exported?`, and its code can be had as far
    /// as that is known.
    #[must_use]
    pub fn has(&self, hook: Hook) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.hooks.contains(&hook) && !loaded.is_without_code.get())
    }

    /// Whether a hook that was called has done anything beyond looking: run a program, changed a
    /// file or sent a request.
    #[must_use]
    pub fn have_acted(&self) -> bool {
        self.loaded.as_ref().and_then(|loaded| loaded.caller.get()).is_some_and(Caller::has_acted)
    }

    /// Calls a hook with a copy of the env; one that isn't there is no error. The first call waits
    /// until the file is compiled.
    ///
    /// # Errors
    /// When the hook returns an error or traps.
    pub fn call(&self, call: &Call) -> Result<()> {
        let Some(loaded) = self.loaded.as_ref().filter(|_| self.has(call.hook)) else { return Ok(()) };
        let fallible = loaded.fallible.get(&call.hook.export()).copied().unwrap_or_default();
        let caller = loaded.caller(&call.events)?;
        let call =
            Call { failure: call.failure.as_ref().map(|failure| loaded.without_secrets(failure)), ..call.clone() };
        caller.call(&call, &loaded.input, fallible).with_context(|| {
            let hook = format!("the hook {} of {}", call.hook.name(), loaded.file);
            match call.hook.point {
                HookPoint::Before(step) => format!("{hook}, before the step {step}"),
                HookPoint::After(step) => format!("{hook}, after the step {step}"),
                HookPoint::OnFailure => format!("{hook} failed too"),
            }
        })
    }
}

impl Loaded {
    fn caller(&self, events: &Events) -> Result<&Caller> {
        if let Some(caller) = self.caller.get() {
            return Ok(caller);
        }
        let linked = self
            .code
            .wait(events)
            .inspect_err(|_| self.is_without_code.set(true))
            .with_context(|| format!("the hooks file {} cannot be compiled", self.file))?;
        let caller = Caller::new(linked, self.grants.clone(), self.limits, Effects::default())?;
        Ok(self.caller.get_or_init(|| caller))
    }

    /// The failure as hooks may see it: what failed may have written a secret that no grant lets them read.
    fn without_secrets(&self, failure: &FailureRecord) -> FailureRecord {
        let granted: Vec<_> = self.grants.variables().map(str::to_owned).collect();
        let redactor = Redactor::new(self.input.variables.iter(), &granted);
        FailureRecord { message: escape(&redactor.redact(&failure.message)).into_owned(), ..failure.clone() }
    }
}

/// A hook that is tried, outside any deployment.
pub struct Trial {
    /// The hooks file.
    pub file: PathBuf,
    /// The hook's name, as people write it: `before_mix_compile`.
    pub hook: Hook,
    /// What it is called with.
    pub input: HookInput,
    /// What it is told of a failure, if it is the hook for one.
    pub failure: FailureRecord,
    /// How often it is called, with a new instance each time; the first call that fails is the last.
    pub times: u32,
    /// Whether what it asks for is only listed.
    pub dry: bool,
    /// The project's settings.
    pub settings: ProjectSettings,
    /// The server's settings.
    pub operator: OperatorSettings,
}

/// How a trial went.
pub struct TrialResult {
    /// What the hook returned.
    pub result: Result<()>,
    /// How long each call took, the making of its instance included.
    pub calls: Vec<Duration>,
    /// How long it took to make each instance.
    pub instances: Vec<Duration>,
    /// How long it took until the hook could be called: to look at the file, and to load or
    /// compile its code.
    pub ready: Duration,
    /// How long it took to compile it; none where that had been done before.
    pub compiled: Option<Duration>,
    /// What it asked for, where that was only listed.
    pub planned: Vec<PlannedEffect>,
}

impl Trial {
    /// Calls the hook.
    ///
    /// # Errors
    /// When the file can't be used, or doesn't export the hook. What the hook itself returns is
    /// in the trial_result.
    pub fn run(self, roots: &Roots, events: &Events) -> Result<TrialResult> {
        let task = self.hook.task;
        let begun = Instant::now();
        let limits = Limits::of(&self.settings.hooks, &self.operator.hooks);
        let preload = Preload::of(self.file.clone(), task, roots.cache_dir(), limits);
        let cannot = || format!("the hooks file {} cannot be used", self.file.display());
        let looked = preload.looked().with_context(cannot)?;
        if let Some(problem) = looked.fatal {
            return Err(anyhow!("{problem}")).with_context(cannot);
        }
        let Some(fallible) = looked.hooks.get(&self.hook.export()) else {
            let mut names: Vec<_> = looked.hooks.keys().map(|name| name.replace('-', "_")).collect();
            names.sort();
            let there = if names.is_empty() { "no hooks".to_owned() } else { names.join(", ") };
            bail!("{} does not export {}: it exports {there}", self.file.display(), self.hook.name());
        };
        let (linked, compiled) = preload.code.wait_timed(events).with_context(cannot)?;
        let grants = Grants::of(&self.settings.hooks.grants, &self.operator.hooks.grants, &roots.config);
        let effects = if self.dry { Effects::listed() } else { Effects::default() };
        let caller = Caller::new(linked, grants, limits, effects)?;
        let call = Call {
            hook: self.hook,
            run_id: "trial".to_owned(),
            attempt: 1,
            started_at: Timestamp::now(),
            events: events.clone(),
            failure: (self.hook.point == HookPoint::OnFailure).then_some(self.failure),
        };
        let ready = begun.elapsed();
        let (mut calls, mut instances) = (Vec::new(), Vec::new());
        let mut result = Ok(());
        for _ in 0..self.times {
            let begun = Instant::now();
            let mut instance = Duration::default();
            result = caller.call_timed(&call, &self.input, *fallible, &mut instance);
            calls.push(begun.elapsed());
            instances.push(instance);
            if result.is_err() {
                break;
            }
        }
        Ok(TrialResult { result, calls, instances, ready, compiled, planned: caller.planned() })
    }
}

/// Compiles a hooks file and keeps the code, so that the first deployment with it need not.
/// Returns how long that took; none where it had been done before, or the file has no hooks.
///
/// # Errors
/// When it can't be used.
pub fn precompile(file: &Path, task: Task, roots: &Roots) -> Result<Option<Duration>> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (settings, operator) = (ProjectSettings::read(folder)?, OperatorSettings::read(&roots.config)?);
    let limits = Limits::of(&settings.hooks, &operator.hooks);
    let preload = Preload::of(file.to_owned(), task, roots.cache_dir(), limits);
    let looked = preload.looked()?;
    if let Some(problem) = looked.fatal {
        bail!("{problem}");
    }
    if !task.hooks().any(|hook| looked.hooks.contains_key(&hook.export())) {
        return Ok(None);
    }
    preload.code.compiled()
}

/// What hooks the env's hooks file exports, without compiling it.
///
/// # Errors
/// As [`Hooks::load`].
pub fn exported(env: &Env) -> Result<Vec<Hook>> {
    let Some(path) = env.hooks_file() else { return Ok(Vec::new()) };
    let inspection = Inspection::of(&read(path)?, env.task)
        .map_err(|error| anyhow!(error))
        .with_context(|| format!("the hooks file {} cannot be used", path.display()))?;
    let exports: Vec<_> = inspection.callable().map(|(report, _)| report.export()).collect();
    Ok(env.task.hooks().filter(|hook| exports.contains(&hook.export())).collect())
}

/// Reads a hooks file.
///
/// # Errors
/// When it isn't there, is no file, can't be read, or is too large to be a hooks file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let metadata = fs::metadata(path).with_context(cannot)?;
    if !metadata.is_file() {
        bail!("{} is no file", path.display());
    }
    if metadata.len() > LARGEST {
        bail!("{} has {} MB: a hooks file has at most {} MB", path.display(), metadata.len() >> 20, LARGEST >> 20);
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
