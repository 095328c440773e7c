//! `gatling hooks run`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use gatling_authoring::sample;
use gatling_config::dotenv::Dotenv;
use gatling_config::project::ProjectName;
use gatling_config::roots::Roots;
use gatling_config::settings::{OperatorSettings, ProjectSettings};
use gatling_engine::facts::gather;
use gatling_engine::hooks;
use gatling_engine::run::Rollback;
use gatling_engine::run::repository::Repository;
use gatling_engine::toolchain::explain;
use gatling_hook_host::{EnvRecord, FailureRecord, Hook, HookInput, HookPoint, PlannedEffect, Trial, TrialResult};
use gatling_pipeline::Pipeline;
use gatling_report::{Options, Shown, Verbosity};
use gatling_runs::{Event, Events, Redactor};
use gatling_text::{duration, escape};
use serde::Serialize;

use super::check::pipeline_of;
use crate::cli::show;
use crate::cli::{FAILED, UsageError, loaded, print_json_line, say, take_environment_of_runs};

/// Call one hook outside any deployment, and print its log, its result and its time
///
/// Without --project the env is a made-up one, in which the build dir is the folder of FILE, and
/// the grants are those of the gatling.toml there. Exits with 1 when the hook fails.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The hooks file
    file: PathBuf,
    /// The hook, such as before_mix_compile
    hook: String,
    /// Call it with the env, the settings and the .env of this project
    #[arg(long, conflicts_with = "env")]
    project: Option<ProjectName>,
    /// A JSON object with fields of the env, as `gatling env --json` prints it; the rest is made up
    #[arg(long, value_name = "FILE.json")]
    env: Option<PathBuf>,
    /// For on_failure: a JSON object with fields of the failure, such as {"traffic_moved": true}; the rest is
    /// made up
    #[arg(long, value_name = "FILE.json")]
    failure: Option<PathBuf>,
    /// List what the hook asks for (programs, changes of files, requests), but do none of it
    #[arg(long)]
    dry_run: bool,
    /// Call it this many times, each time in a new instance, and print the medians
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// One JSON object (docs/journal.md describes it)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    hook: String,
    ok: bool,
    error: Option<String>,
    calls: usize,
    /// Of one call, the making of its instance included: the median.
    milliseconds: f64,
    /// Of the making of an instance: the median.
    instance_milliseconds: f64,
    /// Until the hook could be called.
    ready_milliseconds: f64,
    compiled_milliseconds: Option<f64>,
    /// The most memory that the whole program had.
    peak_memory: Option<u64>,
    log: Vec<String>,
    asked_for: Option<Vec<PlannedEffect>>,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let roots = Roots::from_environment()?;
    let file =
        args.file.canonicalize().with_context(|| format!("cannot find the hooks file {}", args.file.display()))?;
    let hook = hook(&args.hook, pipeline_of(&file))?;
    let pipeline = Pipeline::named(&hook.pipeline).unwrap_or(Pipeline::Upgrade);
    let operator = OperatorSettings::read(&roots.config)?;
    let (input, settings) = match &args.project {
        Some(project) => of_project(project, pipeline)?,
        None => made_up(&file, pipeline, args.env.as_deref())?,
    };
    if args.failure.is_some() && hook.point != HookPoint::OnFailure {
        return Err(UsageError(format!(
            "--failure can only be used with the hook on_failure, not with {}",
            hook.name()
        ))
        .into());
    }
    let failure = failure(pipeline, &input.env, args.failure.as_deref())?;
    let lines = Lines::new(!args.json);
    // Users try a hook to find faults: show what a deployment shows only with --verbose.
    let width = if args.json { usize::MAX } else { show::options().width };
    let options = Options { verbosity: Verbosity::Verbose, width, ..Options::default() };
    let events = Events::new(Shown::new(lines.clone(), options));
    let redactor = Redactor::new(input.variables.iter(), &[]);
    events.hide(redactor.clone());
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    events.emit(Event::HookBegun { hook: hook.name(), file: name });
    let shown = file.display().to_string();
    let file = hooks::file(file, pipeline, &roots, &settings, &operator)?;
    let trial = Trial { file, hook: hook.clone(), input, failure, times: args.repeat, dry: args.dry_run };
    let trial_result = trial.run(&hooks::sink(&events)).map_err(hooks::with_remedy);
    let mut trial_result = trial_result.with_context(|| format!("the hooks file {shown} cannot be used"))?;
    // A hook can have variables that it was granted in its error, and in what it asks for.
    let redact = |text: &str| redactor.redact(text);
    trial_result.result =
        trial_result.result.map_err(|error| anyhow!(redact(&format!("{:#}", hooks::with_remedy(error)))));
    trial_result.planned = trial_result.planned.iter().map(|effect| effect.map(redact)).collect();
    if args.json {
        print_json_line(&report(&hook, &trial_result, args.dry_run, lines.take()))?;
    } else {
        say(&text(&hook, &trial_result, args.dry_run))?;
    }
    Ok(if trial_result.result.is_ok() { 0 } else { FAILED })
}

/// The hook of that name: one of the file's pipeline, or else of the pipeline that has it.
fn hook(name: &str, pipeline: Pipeline) -> Result<Hook> {
    let name = name.replace('-', "_");
    let others = Pipeline::ALL.into_iter().filter(|other| *other != pipeline);
    let pipelines: Vec<_> = [pipeline].into_iter().chain(others).collect();
    let all = || pipelines.iter().flat_map(|pipeline| pipeline.hooks());
    if let Some(hook) = all().find(|hook| hook.name() == name) {
        return Ok(hook);
    }
    let nearest = all().map(|hook| hook.name()).min_by_key(|other| strsim::damerau_levenshtein(&name, other));
    Err(UsageError(format!("{name} is not a hook; did you mean {}?", nearest.unwrap_or_default())).into())
}

fn of_project(project: &ProjectName, pipeline: Pipeline) -> Result<(HookInput, ProjectSettings)> {
    let paths = loaded(project)?;
    let source = Repository::at(&paths.build_dir()).checked_out().unwrap_or_default();
    take_environment_of_runs(&paths)?;
    let facts = gather(&paths, pipeline, &source, &Rollback { past_migrations: true, ..Rollback::default() })
        .map_err(|error| explain(error, &paths.build_dir()))?
        .facts;
    Ok((hooks::input(&facts), facts.settings))
}

fn made_up(file: &Path, pipeline: Pipeline, given: Option<&Path>) -> Result<(HookInput, ProjectSettings)> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let mut env = sample::env(pipeline, folder);
    if let Some(given) = given {
        env = sample::env_from_json(&read(given)?, &env).with_context(|| format!("cannot use {}", given.display()))?;
    }
    let EnvRecord { build_dir, deploy_dir, .. } = &env;
    let settings = ProjectSettings::read(Path::new(build_dir))?;
    let dotenv = Dotenv::read(&Path::new(deploy_dir).join(".env"))?;
    let variables = dotenv.iter().collect();
    let set_command = format!("gatling config set {}", env.project);
    Ok((HookInput { env, variables, set_command }, settings))
}

fn failure(pipeline: Pipeline, env: &EnvRecord, given: Option<&Path>) -> Result<FailureRecord> {
    let failure = sample::failure(pipeline, env);
    let Some(given) = given else { return Ok(failure) };
    sample::failure_from_json(&read(given)?, &failure).with_context(|| format!("cannot use {}", given.display()))
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn report(hook: &Hook, trial_result: &TrialResult, dry: bool, log: Vec<String>) -> Report {
    Report {
        hook: hook.name(),
        ok: trial_result.result.is_ok(),
        error: trial_result.result.as_ref().err().map(|error| format!("{error:#}")),
        calls: trial_result.calls.len(),
        milliseconds: milliseconds(median(&trial_result.calls)),
        instance_milliseconds: milliseconds(median(&trial_result.instances)),
        ready_milliseconds: milliseconds(trial_result.ready),
        peak_memory: peak_memory(),
        compiled_milliseconds: trial_result.compiled.map(milliseconds),
        log,
        asked_for: dry.then(|| trial_result.planned.clone()),
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// In bytes, as the system counted it.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn text(hook: &Hook, trial_result: &TrialResult, dry: bool) -> String {
    let mut text = String::new();
    if dry {
        text += if trial_result.planned.is_empty() {
            "The hook asked for nothing.\n"
        } else {
            "The hook asked for the following; nothing was done:\n"
        };
        for effect in &trial_result.planned {
            text += &format!("  {}\n", escape(&effect.to_string()));
        }
    }
    let time = match median(&trial_result.calls) {
        short if short < Duration::from_millis(10) => format!("{:.2} ms", milliseconds(short)),
        long => duration(long),
    };
    let compiled = trial_result.compiled.map(|time| format!(", after it was compiled in {}", duration(time)));
    let outcome = match &trial_result.result {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("FAILED: {error:#}"),
    };
    let calls = match trial_result.calls.len() {
        1 => String::new(),
        calls => format!(", the median of {calls} calls"),
    };
    text + &format!("{}: {outcome}  ({time}{calls}{})\n", hook.name(), compiled.unwrap_or_default())
}

/// Where the lines of the log go: shown as they come, or kept for the report.
#[derive(Clone)]
struct Lines {
    shown: bool,
    kept: Arc<Mutex<String>>,
}

impl Lines {
    fn new(shown: bool) -> Self {
        Self { shown, kept: Arc::default() }
    }

    fn take(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = |line: &str| line.strip_prefix("    | ").or(line.strip_prefix("    ")).unwrap_or(line).to_owned();
        // The first line is the hook's name.
        kept.lines().skip(1).map(text).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.shown {
            io::stdout().write_all(bytes)?;
            io::stdout().flush()?;
        } else {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(bytes));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
