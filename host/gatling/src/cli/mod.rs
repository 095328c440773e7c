//! The command line. Each command has its own file, which parses arguments and prints results.

mod cancel;
mod compile;
mod config;
mod console;
mod deploy;
mod env;
mod guard;
mod history;
mod hooks;
mod load;
mod log;
mod logs;
mod maintenance;
mod plan;
mod receive;
mod releases;
mod report;
mod restart;
mod rollback;
mod run;
mod secret;
mod show;
mod status;
mod sudoers;
mod unload;
mod worker;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use gatling_config::dotenv::Dotenv;
use gatling_config::paths::ProjectPaths;
use gatling_config::project::ProjectName;
use gatling_config::roots::Roots;
use gatling_config::settings::OperatorSettings;
use gatling_runs::{Redactor, Runs};
use gatling_text::escape;
use serde::Serialize;

/// It ran and failed, or a check found problems.
const FAILED: u8 = 1;
/// A usage error.
const USAGE_ERROR: u8 = 2;

/// git push an Elixir app to your own server.
#[derive(Debug, Parser)]
#[command(name = "gatling", version, max_term_width = 100, after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const ENVIRONMENT: &str = "\
Start with `gatling load PROJECT` on the server, then push to it. For details: gatling help COMMAND

Environment:
  GATLING_HOME           the folder of projects and deployments (default: your home)
  GATLING_ETC_DIR        the folder of init scripts (default: /etc/init.d)
  GATLING_NGINX_DIR      nginx's folder (default: /etc/nginx)
  GATLING_LOGROTATE_DIR  logrotate's folder (default: /etc/logrotate.d)
  GATLING_LIB_DIR        the folder of assets that nginx serves (default: /var/lib/gatling)
  GATLING_CONFIG         the operator's file (default: /etc/gatling/gatling.toml)
  GATLING_TRACE          trace on standard error what gatling does: `debug` or `trace`";

#[derive(Debug, Subcommand)]
enum Command {
    Load(load::Args),
    Deploy(deploy::DeployArgs),
    Upgrade(deploy::UpgradeArgs),
    Receive(receive::Args),
    Cancel(cancel::Args),
    Unload(unload::Args),
    Config(config::Args),
    Console(console::Args),
    Run(run::Args),
    Status(status::Args),
    History(history::Args),
    Log(log::Args),
    Report(report::Args),
    Logs(logs::Args),
    Restart(restart::Args),
    Rollback(rollback::Args),
    Releases(releases::Args),
    Maintenance(maintenance::Args),
    Env(env::Args),
    Plan(plan::Args),
    Sudoers(sudoers::Args),
    Hooks(hooks::Args),
    #[command(hide = true)]
    Compile(compile::Args),
    /// Start the worker of a run, and end what it leaves running (gatling calls this itself)
    #[command(hide = true)]
    Guard(worker::Args),
    #[command(hide = true)]
    Worker(worker::Args),
}

/// What a command was called with is wrong: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

/// Parses the command line, carries it out, and turns the outcome into an exit code.
pub(crate) fn main() -> ExitCode {
    trace();
    let command = Cli::parse().command;
    let result = match command {
        Command::Load(args) => load::main(&args),
        Command::Deploy(args) => deploy::deploy(&args),
        Command::Upgrade(args) => deploy::upgrade(&args),
        Command::Receive(args) => receive::main(&args),
        Command::Cancel(args) => cancel::main(&args),
        Command::Unload(args) => unload::main(&args),
        Command::Config(args) => config::main(&args),
        Command::Console(args) => console::main(&args),
        Command::Run(args) => run::main(&args),
        Command::Sudoers(args) => sudoers::main(&args),
        Command::Status(args) => status::main(&args),
        Command::History(args) => history::main(&args),
        Command::Log(args) => log::main(&args),
        Command::Report(args) => report::main(&args),
        Command::Logs(args) => logs::main(&args),
        Command::Restart(args) => restart::main(&args),
        Command::Rollback(args) => rollback::main(&args),
        Command::Releases(args) => releases::main(&args),
        Command::Maintenance(args) => maintenance::main(&args),
        Command::Env(args) => env::main(&args),
        Command::Plan(args) => plan::main(&args),
        Command::Hooks(args) => hooks::main(&args),
        Command::Compile(args) => compile::main(&args),
        Command::Guard(args) => guard::main(&args),
        Command::Worker(args) => worker::main(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_broken_pipe(&error) => ExitCode::from(FAILED),
        Err(error) => {
            eprintln!("gatling: {}", escape(&redacted(&format!("{error:#}"))));
            ExitCode::from(if error.is::<UsageError>() { USAGE_ERROR } else { FAILED })
        }
    }
}

/// Diagnostics for those who work on Gatling itself; people get the log of a run.
fn trace() {
    let level = std::env::var("GATLING_TRACE").ok().and_then(|level| level.parse::<tracing::Level>().ok());
    if let Some(level) = level {
        tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).init();
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The paths of a project that has been loaded.
fn loaded(name: &ProjectName) -> Result<ProjectPaths> {
    known(name, ProjectPaths::is_loaded)
}

/// The paths of a project. What is left of one that was partly unloaded can be unloaded again.
fn loaded_for(name: &ProjectName, to_unload: bool) -> Result<ProjectPaths> {
    known(name, if to_unload { ProjectPaths::is_partly_loaded } else { ProjectPaths::is_loaded })
}

fn known(name: &ProjectName, is_there: fn(&ProjectPaths) -> bool) -> Result<ProjectPaths> {
    let roots = Roots::from_environment()?;
    let paths = roots.project(name);
    if is_there(&paths) {
        hide_secrets(&paths);
        return Ok(paths);
    }
    let known = roots.loaded_projects();
    let known: Vec<_> = known.iter().map(ProjectName::as_str).collect();
    let nearest = known
        .iter()
        .map(|other| (strsim::damerau_levenshtein(name.as_str(), other), other))
        .filter(|(distance, _)| *distance <= 2)
        .min()
        .map(|(_, other)| format!(" Did you mean {other}?"))
        .unwrap_or_default();
    let there = if known.is_empty() {
        format!("No project is loaded in {}.", roots.home.display())
    } else {
        format!("In {} there are: {}.", roots.home.display(), known.join(", "))
    };
    Err(UsageError(format!("there is no project {name}.{nearest} {there} To load it: gatling load {name}")).into())
}

/// The runs of a project: they outlive it.
fn runs_of(name: &ProjectName) -> Result<Runs> {
    let roots = Roots::from_environment()?;
    let runs = Runs::below(&roots.project(name).state_dir());
    if !runs.dir().is_dir() {
        loaded(name)?;
    }
    Ok(runs)
}

/// The run that somebody means: by its id, or how that begins, or the latest.
fn known_run(runs: &Runs, project: &ProjectName, asked: Option<&str>) -> Result<String> {
    let ids = runs.ids()?;
    let Some(latest) = ids.first() else {
        bail!("{project} has no runs yet: push to it, or run `gatling deploy {project}`");
    };
    let Some(asked) = asked else { return Ok(latest.clone()) };
    let mut meant = ids.iter().filter(|id| id.starts_with(asked));
    match (meant.next(), meant.next()) {
        (Some(id), None) => Ok(id.clone()),
        (Some(id), Some(_)) if id == asked => Ok(id.clone()),
        (Some(one), Some(other)) => Err(UsageError(format!(
            "several runs start with {asked:?}, such as {one} and {other}: give more of its characters"
        ))
        .into()),
        (None, _) => Err(UsageError(format!(
            "there is no run {asked:?} of {project}; the latest is {latest}. See `gatling history {project}`"
        ))
        .into()),
    }
}

/// Gives this process the environment that runs have, for commands that call mix or the service
/// themselves. Call it before anything starts a thread.
fn take_environment_of_runs(paths: &ProjectPaths) -> Result<()> {
    let operator = OperatorSettings::read(&paths.roots.config)?;
    for (name, value) in gatling_engine::run::worker::environment(paths, &operator) {
        // SAFETY: no command has started a thread by then that could read the environment.
        unsafe { std::env::set_var(name, value) };
    }
    Ok(())
}

/// What keeps the secrets of the project that the command is about out of what is shown.
static SECRETS: OnceLock<Redactor> = OnceLock::new();

/// Keeps the secrets of a project out of what is shown from now on.
fn hide_secrets(paths: &ProjectPaths) {
    let dotenv = Dotenv::read(&paths.dotenv()).unwrap_or_default();
    // A command is about one project.
    _ = SECRETS.set(Redactor::new(dotenv.iter(), &[]));
}

fn redacted(text: &str) -> String {
    SECRETS.get().map_or_else(|| text.to_owned(), |secrets| secrets.redact(text))
}

/// Writes text for people to standard output: without secrets, and without what a terminal would take
/// for commands.
fn say(text: &str) -> Result<()> {
    print(&escape(&redacted(text)))
}

/// Writes text to standard output as it is.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes an object to standard output as one line of JSON, with the version of its format.
fn print_json_line(object: &impl Serialize) -> Result<()> {
    #[derive(Serialize)]
    struct Versioned<'a, T> {
        v: u32,
        #[serde(flatten)]
        object: &'a T,
    }
    print(&(serde_json::to_string(&Versioned { v: gatling_runs::event::FORMAT, object })? + "\n"))
}

/// Who is at the keyboard or at the other end of ssh, for those who wait.
fn caller() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("SUDO_USER").or_else(|| variable("USER")).or_else(|| variable("LOGNAME"));
    let user = user.unwrap_or_else(|| format!("the user {}", rustix::process::geteuid().as_raw()));
    match variable("SSH_CONNECTION").and_then(|connection| Some(connection.split(' ').next()?.to_owned())) {
        Some(address) => format!("{user} from {address}"),
        None => user,
    }
}
