//! The processes of a run: what it started must not outlive it, and write into the next run's build. Spared are the
//! app, and the init script while it switches releases.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use gatling_config::paths::ProjectPaths;
use gatling_process::{Environ, kill_descendants};
use rustix::process::{Pid, Signal, getpid, kill_process};

/// The variable with the id of the run, which everything that the run starts inherits.
pub(super) const RUN_VARIABLE: &str = "GATLING_RUN";

/// How long processes may take to end after they were killed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Kills the descendants of this process, except the app and the init script.
pub(super) fn kill_all(paths: &ProjectPaths) {
    kill_descendants(|pid| is_spared(paths, pid));
}

/// Whether a process is an app, of this or another project, or the init script while it works.
fn is_spared(paths: &ProjectPaths, pid: Pid) -> bool {
    let is_app = environ(pid).is_some_and(|environ| environ.get("GATLING_DEPLOY_DIR").is_some());
    is_app || has_open(pid.as_raw_pid().unsigned_abs(), &paths.service_lock())
}

/// The name of a run's scope, with systemd.
pub(super) fn scope(paths: &ProjectPaths, run: &str) -> String {
    format!("gatling-{}-{run}", paths.name)
}

/// Kills what a run that was killed has left, if its guard was killed too: what has its variable, or is in its scope.
pub(super) fn kill_leftovers(paths: &ProjectPaths, run: &str) {
    let scope = format!("/{}.scope", scope(paths, run));
    let is_in_scope = |pid: Pid| {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_pid())).unwrap_or_default();
        groups.lines().any(|line| line.ends_with(&scope))
    };
    let is_left = |pid: Pid| (is_of_run(pid, run) || is_in_scope(pid)) && !is_spared(paths, pid);
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        let left: Vec<_> = pids.filter(|pid| *pid != getpid() && is_left(*pid)).collect();
        if left.is_empty() {
            return;
        }
        // All are stopped first, so that none can start another.
        for signal in [Signal::STOP, Signal::KILL] {
            for pid in &left {
                // An error means that it has ended.
                _ = kill_process(*pid, signal);
            }
        }
    }
}

/// Whether a process has a file open.
pub(super) fn has_open(pid: u32, file: &Path) -> bool {
    let Ok(file) = fs::metadata(file) else { return false };
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut files = files.filter_map(|file| fs::metadata(file.path()).ok());
    files.any(|open| (open.dev(), open.ino()) == (file.dev(), file.ino()))
}

/// Whether a process is of a run: it has inherited the run's variable.
pub(super) fn is_of_run(pid: Pid, run: &str) -> bool {
    environ(pid).is_some_and(|environ| environ.get(RUN_VARIABLE) == Some(run))
}

fn environ(pid: Pid) -> Option<Environ> {
    Environ::of(pid.as_raw_pid().unsigned_abs())
}
