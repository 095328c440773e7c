//! The worker: a run in a session of its own, which outlives the connection of whoever pushed.
//! The process that was asked only follows the log.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result};

use super::Request;
use super::log::{DEBUG_PREFIX, FAILURE_MARK};
use super::record::Runs;
use crate::command::describe;
use crate::roots::ProjectPaths;
use crate::settings::OperatorSettings;
use crate::toolchain;

/// How often the log is looked at.
const FOLLOW: Duration = Duration::from_millis(20);

/// What git sets for its hooks, and what would lead git commands inside mix astray.
const GIT_VARIABLES: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
];

/// Starts a worker for the request, shows its log as it grows, and returns its exit code. When
/// whoever watches goes away, the worker goes on.
///
/// # Errors
/// When the worker can't be started, or its log can't be written.
pub fn submit(request: &Request) -> Result<u8> {
    let paths = &request.paths;
    let log_path = Runs::open(&paths.state_dir())?.log(&request.id);
    let log = File::create(&log_path).with_context(|| format!("cannot write the log {}", log_path.display()))?;
    let operator = OperatorSettings::read(&paths.roots.config)?;
    let mut command = Command::new(env::current_exe().context("cannot find the gatling program itself")?);
    command
        .args(["worker", paths.name.as_str(), "--run", &request.id, "--by", &request.by])
        .args(request.task.iter().flat_map(|task| ["--task", task.name()]))
        .envs(environment(paths, &operator))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
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
    let mut follower = Follower::open(&log_path)?;
    loop {
        let status = match wait.recv_timeout(FOLLOW) {
            Ok(status) => Some(status.context("cannot wait for the worker")?),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => unreachable!("the thread sends before it ends"),
        };
        let watched = follower.show(status.is_some()).is_ok();
        if let Some(status) = status {
            let unsaid = match status.code() {
                Some(0) => None,
                None => Some(format!("{} before it was done", describe(status))),
                Some(_) if follower.told_of_failure => None,
                Some(_) => Some(format!(
                    "failed, and its log ends before that; is the disk full? See `df -h {}`",
                    log_path.display()
                )),
            };
            if let Some(unsaid) = unsaid {
                // Whoever pushed may be gone too.
                _ = writeln!(io::stdout(), "{}", super::death(request, &unsaid));
            }
            return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
        }
        if interrupted.load(Ordering::Relaxed) {
            eprintln!("gatling: the run goes on without you; its log: {}", log_path.display());
            return Ok(130);
        }
        if !watched {
            // Whoever pushed is gone. There is nobody left to tell.
            return Ok(1);
        }
    }
}

/// The variables that a run needs beside those that it inherits: the `PATH`, a locale, and one by which
/// mise trusts the build dir.
#[must_use]
pub fn environment(paths: &ProjectPaths, operator: &OperatorSettings) -> Vec<(&'static str, OsString)> {
    let shims = env::home_dir().map(|home| toolchain::shims(&home)).unwrap_or_default();
    let path = search_path(&operator.path, &shims, &env::var_os("PATH").unwrap_or_default());
    let mut variables = vec![("PATH", path), toolchain::mise_trust(&paths.build_dir())];
    if ["LANG", "LC_ALL", "LC_CTYPE"].iter().all(|name| env::var_os(name).is_none()) {
        // Without any, Elixir takes file names and output for Latin-1.
        variables.push(("LANG", "C.UTF-8".into()));
    }
    variables
}

/// `PATH` with the operator's folders before it, then those of version managers, and behind it those
/// where Debian keeps nginx and service: a push over ssh comes with a shorter one.
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

/// Copies whole lines of a growing file to standard output.
struct Follower {
    file: File,
    rest: Vec<u8>,
    /// Whether the run has said why it failed.
    told_of_failure: bool,
}

impl Follower {
    fn open(path: &Path) -> Result<Self> {
        let file = fs::File::open(path).with_context(|| format!("cannot read the log {}", path.display()))?;
        Ok(Self { file, rest: Vec::new(), told_of_failure: false })
    }

    /// Shows what has come since; at the `end`, also a line that isn't whole.
    fn show(&mut self, end: bool) -> io::Result<()> {
        self.file.read_to_end(&mut self.rest)?;
        let whole = match self.rest.iter().rposition(|byte| *byte == b'\n') {
            _ if end => self.rest.len(),
            Some(last) => last + 1,
            None => 0,
        };
        let mut out = io::stdout().lock();
        for line in self.rest[..whole].split_inclusive(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            self.told_of_failure |= text.starts_with("gatling: ") && text.contains(FAILURE_MARK);
            if !line.starts_with(DEBUG_PREFIX.as_bytes()) {
                out.write_all(line)?;
            }
        }
        self.rest.drain(..whole);
        out.flush()
    }
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
