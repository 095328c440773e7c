//! The project's hooks: their file, their grants and limits, and their events.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use bytesize::ByteSize;
use gatling_config::paths::ProjectPaths;
use gatling_config::roots::Roots;
use gatling_config::settings::{HookSettings, OperatorSettings, ProjectSettings};
use gatling_grants::Grants;
use gatling_hook_host::compile::Compiler;
use gatling_hook_host::{
    EnvRecord, FailureRecord, HookEvent, HookInput, Hooks, HooksFile, Level, LimitHit, Limits, Preload, Sink,
};
use gatling_pipeline::{Facts, Pipeline};
use gatling_runs::{Event, Events, Redactor};
use gatling_text::escape;

/// A project's hooks file for a pipeline, with these settings.
///
/// # Errors
/// If this program cannot find its own path, which it needs to compile the file.
pub fn file(
    path: PathBuf,
    pipeline: Pipeline,
    roots: &Roots,
    settings: &ProjectSettings,
    operator: &OperatorSettings,
) -> Result<HooksFile> {
    let program = std::env::current_exe().context("cannot find the gatling program itself")?;
    Ok(HooksFile {
        path,
        pipeline: pipeline.name(),
        known: Pipeline::all_hooks(),
        grants: Grants::of(&settings.hooks.grants, &operator.hooks.grants, &roots.config),
        limits: limits(&settings.hooks, &operator.hooks),
        cache_dir: roots.cache_dir(),
        compiler: Compiler::Program { program, args: vec![OsString::from("compile")] },
    })
}

/// Starts to prepare the project's hooks file for a pipeline. Returns `None` if the project has no such file.
#[must_use]
pub fn prepare(paths: &ProjectPaths, pipeline: Pipeline) -> Option<Preload> {
    let path = paths.build_dir().join(pipeline.hooks_file());
    path.symlink_metadata().ok()?;
    // If settings are invalid, the run fails before it uses the code.
    let settings = ProjectSettings::read(&paths.build_dir()).unwrap_or_default();
    let operator = OperatorSettings::read(&paths.roots.config).unwrap_or_default();
    Some(file(path, pipeline, &paths.roots, &settings, &operator).ok()?.prepare())
}

/// The hooks of a file that is being prepared.
///
/// # Errors
/// If the file cannot be used: the error names it, and says what to do.
pub fn load(preload: Option<Preload>, facts: &Facts, events: &Events) -> Result<Hooks> {
    let (Some(preload), Some(path)) = (preload, facts.hooks_file()) else { return Ok(Hooks::none()) };
    let file = facts.pipeline.hooks_file();
    let hooks = Hooks::load(preload, input(facts)).with_context(|| {
        let without = match facts.pipeline {
            Pipeline::Rollback => "to go back without hooks, add --no-hooks".to_owned(),
            _ => format!("to deploy without hooks, remove {file} from the project"),
        };
        format!(
            "the hooks file {file} cannot be used. `gatling hooks check {}` lists all its problems; {without}",
            path.display()
        )
    })?;
    for warning in hooks.warnings() {
        events.warn(format!("{file}: {warning}"));
    }
    events.emit(Event::HooksLoaded { file, hooks: hooks.all().iter().map(gatling_hook_host::Hook::name).collect() });
    Ok(hooks)
}

/// The hooks that the project's hooks file exports, in order, without compiling it.
///
/// # Errors
/// If the file cannot be used.
pub fn exported(facts: &Facts) -> Result<Vec<gatling_hook_host::Hook>> {
    let Some(path) = facts.hooks_file() else { return Ok(Vec::new()) };
    file(path.to_owned(), facts.pipeline, &facts.paths.roots, &facts.settings, &facts.operator)?
        .exported()
        .with_context(|| format!("the hooks file {} cannot be used", path.display()))
}

/// Compiles a hooks file into the cache before the first deployment with it. Returns how long that took; none if it
/// was already compiled, or the file has no hooks of the pipeline.
///
/// # Errors
/// If the file cannot be used.
pub fn precompile(path: &Path, pipeline: Pipeline, roots: &Roots) -> Result<Option<std::time::Duration>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (settings, operator) = (ProjectSettings::read(folder)?, OperatorSettings::read(&roots.config)?);
    file(path.to_owned(), pipeline, roots, &settings, &operator)?.precompile().map_err(with_remedy)
}

/// The input of hooks.
#[must_use]
pub fn input(facts: &Facts) -> HookInput {
    HookInput {
        env: env_record(facts),
        variables: facts.variables.clone(),
        set_command: format!("gatling config set {}", facts.project),
    }
}

/// If a limit was exceeded, adds to the error how to raise it.
#[must_use]
pub fn with_remedy(error: anyhow::Error) -> anyhow::Error {
    let Some((limit, field)) = error.downcast_ref::<LimitHit>().and_then(|limit| Some((limit, limit.field()?))) else {
        return error;
    };
    let remedy = anyhow!("{limit}: raise `hooks.{field}` in gatling.toml, up to what the operator's file allows");
    // The limit is the innermost error: its contexts stay.
    let contexts: Vec<_> = error.chain().map(ToString::to_string).collect();
    let outer = contexts.iter().rev().skip(1);
    outer.fold(remedy, |error, context| error.context(context.clone()))
}

/// The failure record without secrets that no grant allows the hooks to read.
#[must_use]
pub fn without_secrets(failure: FailureRecord, facts: &Facts) -> FailureRecord {
    let grants = Grants::of(&facts.settings.hooks.grants, &facts.operator.hooks.grants, &facts.paths.roots.config);
    let granted: Vec<_> = grants.variables().map(str::to_owned).collect();
    let redactor = Redactor::new(facts.variables.iter(), &granted);
    FailureRecord { message: escape(&redactor.redact(&failure.message)).into_owned(), ..failure }
}

/// A sink that adds hooks' events to the events of a run.
#[must_use]
pub fn sink(events: &Events) -> Sink {
    let events = events.clone();
    Sink::new(move |event| match event {
        HookEvent::Output { text, open } => events.emit(Event::Output { text, open }),
        HookEvent::Log { level, text } => events.emit(Event::Log { level: level_of(level), text }),
        HookEvent::Command(line) => events.emit(Event::Command { line, quiet: false }),
        HookEvent::GrantUsed { grant, what } => events.emit(Event::GrantUsed { grant: grant.to_owned(), what }),
        HookEvent::GrantRefused { grant, message } => {
            events.emit(Event::GrantRefused { grant: grant.to_owned(), message });
        }
        HookEvent::Note(text) => events.note(text),
        HookEvent::Debug(text) => events.debug(text),
    })
}

fn level_of(level: Level) -> gatling_runs::Level {
    match level {
        Level::Debug => gatling_runs::Level::Debug,
        Level::Info => gatling_runs::Level::Info,
        Level::Warning => gatling_runs::Level::Warning,
        Level::Error => gatling_runs::Level::Error,
    }
}

/// The limits that the project sets, or the defaults, up to the operator's maximum.
#[must_use]
pub fn limits<P, O>(project: &HookSettings<P>, operator: &HookSettings<O>) -> Limits {
    fn least<T: Ord>(set: Option<T>, cap: Option<T>, default: T) -> T {
        let wanted = set.unwrap_or(default);
        match cap {
            Some(cap) => wanted.min(cap),
            None => wanted,
        }
    }
    let bytes = |set: Option<ByteSize>, cap: Option<ByteSize>, default: usize| {
        usize::try_from(least(set, cap, ByteSize::b(default as u64)).as_u64()).unwrap_or(usize::MAX)
    };
    let default = Limits::default();
    Limits {
        timeout: least(project.timeout, operator.timeout, default.timeout),
        memory: bytes(project.memory, operator.memory, default.memory),
        table: least(project.table, operator.table, default.table),
        log_lines: least(project.log_lines, operator.log_lines, default.log_lines),
        log_bytes: bytes(project.log_bytes, operator.log_bytes, default.log_bytes),
        output: bytes(project.output, operator.output, default.output),
        error: bytes(project.error, operator.error, default.error),
        compile_timeout: least(project.compile_timeout, operator.compile_timeout, default.compile_timeout),
        compile_memory: bytes(project.compile_memory, operator.compile_memory, default.compile_memory),
    }
}

/// The env record for hooks.
#[must_use]
pub fn env_record(facts: &Facts) -> EnvRecord {
    let text = |path: &Path| path.display().to_string();
    EnvRecord {
        available_port: facts.available_port,
        available_tasks: facts.available_tasks.clone(),
        build_dir: text(&facts.build_dir),
        built_release_path: text(&facts.built_release_path),
        deploy_callback_module: facts.deploy_callback_module.as_deref().map(text),
        deploy_dir: text(&facts.deploy_dir),
        deploy_path: text(&facts.deploy_path),
        domains: facts.domains.clone(),
        etc_dir: text(&facts.etc_dir),
        etc_path: text(&facts.etc_path),
        git_hook_path: text(&facts.git_hook_path),
        nginx_available_path: text(&facts.nginx_available_path),
        nginx_dir: text(&facts.nginx_dir),
        nginx_enabled_path: text(&facts.nginx_enabled_path),
        nginx_template: facts.nginx_template.clone(),
        project: facts.project.clone(),
        releases: facts.releases.clone(),
        script_template: facts.script_template.clone(),
        upgrade_callback_module: facts.upgrade_callback_module.as_deref().map(text),
        upgrade_dir: text(&facts.upgrade_dir),
        upgrade_path: text(&facts.upgrade_path),
        version: facts.version.clone(),
        task: facts.pipeline.name().to_string(),
        commit: facts.commit.clone(),
        branch: facts.branch.clone(),
        previous_version: facts.previous_version.clone(),
        strategy: facts.strategy.to_owned(),
        unload_callback_module: facts.unload_callback_module.as_deref().map(text),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_limit_is_the_projects_or_the_default_but_at_most_the_operators() {
        let set =
            |seconds| HookSettings::<()> { timeout: Some(Duration::from_secs(seconds)), ..HookSettings::default() };
        let none = HookSettings::<()>::default();
        for (project, operator, seconds) in [
            (&none, &none, 300),
            (&set(600), &none, 600),
            (&set(600), &set(60), 60),
            (&none, &set(60), 60),
            (&set(5), &set(60), 5),
        ] {
            assert_eq!(limits(project, operator).timeout, Duration::from_secs(seconds));
        }
    }

    #[test]
    fn the_error_of_an_exceeded_limit_says_how_to_raise_it() {
        let hit = anyhow::Error::from(LimitHit::Memory(512 << 20)).context("the hook before_mix_compile");
        let error = format!("{:#}", with_remedy(hit));
        assert!(error.starts_with("the hook before_mix_compile: memory limit (512.0 MiB) exceeded: raise"), "{error}");
        assert!(error.contains("`hooks.memory` in gatling.toml"), "{error}");
        let hit = anyhow::Error::from(LimitHit::Memory(1)).context("the hook").context("the step");
        assert_eq!(with_remedy(hit).chain().count(), 3, "the contexts stay apart");
        assert_eq!(with_remedy(LimitHit::Handles(3).into()).to_string(), LimitHit::Handles(3).to_string());
    }
}
