//! The worker: a process in its own session that carries out a run and outlives the connection of the user who pushed.
//! The process that the user started only follows the journal.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail};
use gatling_config::folders::make_private;
use gatling_config::paths::ProjectPaths;
use gatling_config::settings::OperatorSettings;
use gatling_process::describe;
use gatling_runs::{Entry, Event, Level, Outcome, Runs, Summary};
use rustix::process::Pid;

use super::Request;
use super::follow::{Follower, Show};
use super::processes::{has_open, is_of_run, scope};
use crate::{serving, toolchain};

/// How often to look for new events in the journal.
const FOLLOW: Duration = Duration::from_millis(20);

/// Variables that git sets for its hooks. They would redirect the git commands that mix runs.
const GIT_VARIABLES: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
];

/// Starts a worker for the request, shows its events as they happen, and returns its exit code. If this process ends
/// earlier, the worker continues.
///
/// # Errors
/// When the worker can't be started, or its journal can't be written.
pub fn submit(request: &Request, show: &mut dyn Show) -> Result<u8> {
    let paths = &request.paths;
    if is_inside_run(paths) {
        bail!(
            "this command was started by a run of {0}, from one of its hooks or mix tasks, and would wait for that run \
             for ever. Remove the call of gatling from there; to deploy, push to {0}",
            paths.name
        );
    }
    let runs = Runs::below(&paths.state_dir());
    make_private(runs.dir())?;
    let folder = runs.make_folder(&request.id)?;
    let operator = OperatorSettings::read(&paths.roots.config)?;
    // For errors before the worker has a journal, and for crashes.
    let errors = folder.join("errors.txt");
    let program = env::current_exe().context("cannot find the gatling program itself")?;
    let mut command = command_in_scope(request, &program);
    command
        .args(["guard", paths.name.as_str(), "--run", &request.id, "--by", &request.by, "--goal", &request.goal.name()])
        .args(request.pushed.iter().flat_map(|commit| ["--pushed", commit]))
        .args(request.strict.iter().flat_map(|old| ["--strict", old]))
        .args(request.rollback.release.iter().flat_map(|release| ["--release", release]))
        .args(request.rollback.past_migrations.then_some("--past-migrations"))
        .args(request.rollback.migrate_down.then_some("--migrate-down"))
        .args(request.rollback.no_hooks.then_some("--no-hooks"))
        .args(request.no_soak.then_some("--no-soak"))
        .envs(environment(paths, &operator))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(private_file(&errors)?);
    for variable in GIT_VARIABLES {
        command.env_remove(variable);
    }
    // SAFETY: between fork and exec this makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
    let mut child = command.spawn().context("cannot start the worker")?;
    let (ended, wait) = mpsc::channel();
    thread::spawn(move || ended.send(child.wait()));

    let interrupted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&interrupted))
        .context("cannot wait for Ctrl-C")?;
    let mut follower = Follower::new(&runs.journal(&request.id));
    loop {
        let status = match wait.recv_timeout(FOLLOW) {
            Ok(status) => Some(status.context("cannot wait for the worker")?),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("the thread sends before it ends"),
        };
        let watched = follower.show_new(show).is_ok();
        if let Some(outcome) = follower.outcome() {
            remove_if_empty(&errors);
            return Ok(outcome.exit_code());
        }
        if let Some(status) = status {
            // The user may be gone.
            _ = show.show(&Entry::now(if status.success() {
                unwritten(request)
            } else {
                death(request, status, &errors)
            }));
            remove_if_empty(&errors);
            return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
        }
        if interrupted.load(Ordering::Relaxed) {
            _ = show.end();
            eprintln!(
                "gatling: the run continues on the server. To follow it: gatling log {0} {1} --follow. To stop it: gatling \
                 cancel {0}",
                paths.name, request.id
            );
            return Ok(130);
        }
        if !watched {
            return Ok(1);
        }
    }
}

/// The process that carries out a run, if it is in progress.
#[must_use]
pub fn of_run(run: &Summary) -> Option<Pid> {
    let pid = Pid::from_raw(i32::try_from(run.pid?).ok()?)?;
    // The id may belong to another process by now.
    is_of_run(pid, &run.id).then_some(pid)
}

/// A command that runs this program: with systemd in a scope of its own, so that the end of the user's session ends
/// neither the run nor the app that it starts. Without roots rights that takes a user manager that outlives the session.
fn command_in_scope(request: &Request, program: &Path) -> Command {
    let user = rustix::process::geteuid();
    let runtime_dir = format!("/run/user/{}", user.as_raw());
    let has_manager = || {
        let lingers = |name| Path::new("/var/lib/systemd/linger").join(name).exists();
        env::var_os("USER").is_some_and(lingers) && Path::new(&runtime_dir).join("systemd/private").exists()
    };
    if !Path::new("/run/systemd/system").is_dir() || !(user.is_root() || has_manager()) {
        return Command::new(program);
    }
    let in_scope = || {
        let mut command = Command::new("systemd-run");
        if !user.is_root() {
            command.arg("--user").env("XDG_RUNTIME_DIR", &runtime_dir);
        }
        command.args(["--scope", "--collect", "--quiet"]);
        command
    };
    // In a container, systemd can be there and not answer.
    let mut trial = in_scope();
    let trial = trial.args(["--", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !trial.status().is_ok_and(|status| status.success()) {
        return Command::new(program);
    }
    let mut command = in_scope();
    command.arg(format!("--unit={}", scope(&request.paths, &request.id))).arg("--").arg(program);
    command
}

/// Whether an ancestor of this process is the worker of a run of the project: it has the project's lock open.
fn is_inside_run(paths: &ProjectPaths) -> bool {
    let lock = paths.run_lock();
    std::iter::successors(parent_of("self"), |pid| parent_of(&pid.to_string())).any(|pid| has_open(pid, &lock))
}

/// The parent of a process, if it has one.
fn parent_of(process: &str) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    (parent != 0).then_some(parent)
}

/// A new file that only its owner can read.
fn private_file(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes the file if it is empty.
fn remove_if_empty(path: &Path) {
    if fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        // An empty file does no harm.
        _ = fs::remove_file(path);
    }
}

/// The last event of a run that succeeded but could not write this to its journal.
fn unwritten(request: &Request) -> Event {
    let text = format!(
        "the run succeeded, but its journal is incomplete; is the disk full? See `df -h {}`",
        request.paths.state_dir().display()
    );
    Event::Note { level: Level::Warning, text }
}

/// The last event of a run whose worker ended without writing it.
fn death(request: &Request, status: ExitStatus, errors: &Path) -> Event {
    let said = fs::read_to_string(errors).unwrap_or_default();
    let mut error = vec![match status.code() {
        None => format!("the run's process {} before the run ended", describe(status)),
        Some(_) => format!(
            "the run's process {}, and its journal is incomplete; is the disk full? See `df -h {}`",
            describe(status),
            request.paths.state_dir().display()
        ),
    }];
    error.extend(Some(said.trim().to_owned()).filter(|said| !said.is_empty()));
    Event::Ended {
        outcome: Outcome::Failed,
        seconds: 0.0,
        error,
        serving: Some(serving::look(&request.paths)),
        again: request.strict.is_none().then(|| super::again(request, request.goal)),
        places: Vec::new(),
    }
}

/// The variables that a run needs in addition to the inherited ones: the `PATH`, a locale, and one that makes mise trust
/// the build dir.
#[must_use]
pub fn environment(paths: &ProjectPaths, operator: &OperatorSettings) -> Vec<(&'static str, OsString)> {
    let shims = env::home_dir().map(|home| toolchain::shims(&home)).unwrap_or_default();
    let path = search_path(&operator.path, &shims, &env::var_os("PATH").unwrap_or_default());
    let mut variables = vec![("PATH", path), toolchain::mise_trust(&paths.build_dir())];
    if ["LANG", "LC_ALL", "LC_CTYPE"].iter().all(|name| env::var_os(name).is_none()) {
        // Without a locale, Elixir reads file names and output as Latin-1.
        variables.push(("LANG", "C.UTF-8".into()));
    }
    variables
}

/// The operator's folders, those of version managers, the inherited `PATH`, and the folders in which Debian installs
/// nginx and service: a push over ssh inherits a shorter `PATH`.
fn search_path(operator: &[PathBuf], shims: &[PathBuf], own: &OsStr) -> OsString {
    let system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let mut folders = Vec::new();
    let first = operator.iter().chain(shims).cloned();
    for folder in first.chain(env::split_paths(own)).chain(system.iter().map(Into::into)) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    env::join_paths(folders).unwrap_or_else(|_| own.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_folders_come_before_those_of_version_managers_and_both_before_the_path() {
        let folders = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let path =
            search_path(&folders(&["/opt/elixir"]), &folders(&["/h/shims"]), OsStr::new("/usr/bin:/h/shims:/own"));
        let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin";
        assert_eq!(path.to_string_lossy(), format!("/opt/elixir:/h/shims:/usr/bin:/own:{system}"));
    }
}
