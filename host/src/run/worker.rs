//! The worker: a run in a session of its own, which outlives the connection of whoever pushed.
//! The process that was asked only follows the log.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
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
use crate::settings::OperatorSettings;

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
        .env("PATH", search_path(&operator))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    if ["LANG", "LC_ALL", "LC_CTYPE"].iter().all(|name| env::var_os(name).is_none()) {
        // Without any, Elixir takes file names and output for Latin-1.
        command.env("LANG", "C.UTF-8");
    }
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

/// `PATH` with the operator's folders before it, and behind it those where Debian keeps nginx
/// and service: a push over ssh comes with a shorter one.
fn search_path(operator: &OperatorSettings) -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let mut folders = operator.path.clone();
    for folder in env::split_paths(&own).chain(system.iter().map(Into::into)) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    env::join_paths(folders).unwrap_or(own)
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
