//! The hooks file of a project: load it, look into it, call what it exports. The only place
//! that knows wasmtime.

mod cache;
mod call;
mod contract;
mod grants;
pub mod inspect;
mod limits;
mod output;
mod program;
mod surface;
mod types;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::env::Env;
use crate::run::log::RunLog;
use crate::task::Hook;
use call::Component;
use grants::Grants;
use inspect::{HookReport, Inspection, Status};
use limits::Limits;

/// A hooks file larger than this is refused unread: the largest that toolchains make, Python's,
/// have some 20 MB.
const LARGEST: u64 = 256 * 1024 * 1024;

/// One call of one hook.
pub struct Call {
    /// The hook.
    pub hook: Hook,
    /// The run's id.
    pub run_id: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When the run began.
    pub started_at: Timestamp,
    /// Where its lines go.
    pub log: RunLog,
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
    component: Component,
}

impl Hooks {
    /// Reads the hooks file that the env names. Where there is none, or it exports none of the
    /// task's hooks, nothing is compiled.
    ///
    /// # Errors
    /// When the file can't be read, is no component, has a hook of the wrong type, or needs
    /// what this Gatling doesn't have: the error names the file, and what to do.
    pub fn load(env: &Env, log: &RunLog) -> Result<Self> {
        let Some(path) = env.hooks_file() else { return Ok(Self { loaded: None }) };
        let file = env.task.hooks_file();
        let refuse = || {
            format!(
                "the hooks file {file} cannot be used. `gatling hooks check {}` says all about it; to deploy without hooks, \
                 remove {file} from the project",
                path.display()
            )
        };
        let bytes = read(path).with_context(refuse)?;
        let inspection = Inspection::of(&bytes, env.task).map_err(|error| anyhow!(error)).with_context(refuse)?;
        for report in inspection.hooks.iter().filter(|report| report.status == Status::Unknown) {
            log.line(&format!("  warning: {file}: {}", report.message));
        }
        if let Some(problem) = inspection.fatal_problem() {
            return Err(anyhow!("{problem}")).with_context(refuse);
        }
        let fallible: HashMap<_, _> =
            inspection.callable().map(|(report, fallible)| (report.export(), fallible)).collect();
        tracing::debug!(path = %path.display(), size = bytes.len(), imports = ?inspection.imports, "hooks file");
        let hooks: Vec<_> = env.task.hooks().filter(|hook| fallible.contains_key(&hook.export())).collect();
        if hooks.is_empty() {
            log.line(&format!("  hooks: {file} has none for this task"));
            return Ok(Self { loaded: None });
        }
        let limits = Limits::of(&env.settings.hooks, &env.operator.hooks);
        let grants = Grants::of(&env.settings.hooks.grants, &env.operator.hooks.grants, &env.paths.roots.config);
        let component =
            Component::load(&bytes, &env.paths.roots.cache_dir(), grants, limits, &file, log).with_context(refuse)?;
        Ok(Self { loaded: Some(Loaded { file, hooks, fallible, component }) })
    }

    /// The hooks file's name.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.loaded.as_ref().map(|loaded| loaded.file.as_str())
    }

    /// The names of the hooks that will be called, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.loaded.iter().flat_map(|loaded| loaded.hooks.iter().map(|hook| hook.name())).collect()
    }

    /// Whether the file exports the hook: Elixir's `function_exported?`.
    #[must_use]
    pub fn has(&self, hook: Hook) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.hooks.contains(&hook))
    }

    /// Calls a hook with a copy of the env; one that isn't there is no error.
    ///
    /// # Errors
    /// When the hook returns an error or traps.
    pub fn call(&self, call: &Call, env: &Env) -> Result<()> {
        let Some(loaded) = self.loaded.as_ref().filter(|_| self.has(call.hook)) else { return Ok(()) };
        let fallible = loaded.fallible.get(&call.hook.export()).copied().unwrap_or_default();
        loaded.component.call(call, env, fallible).with_context(|| {
            format!(
                "the hook {} of {}, {} the step {}",
                call.hook.name(),
                loaded.file,
                call.hook.phase.name(),
                call.hook.step
            )
        })
    }
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
