//! The guard of a run: the parent of its worker. When the worker ends, for whatever reason, the guard kills what the run
//! has left running. The next run waits for it.

use std::os::unix::process::CommandExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::{env, fs, io, thread};

use anyhow::{Context as _, Result};
use gatling_config::paths::ProjectPaths;
use gatling_process::adopt_orphans;
use gatling_runs::Runs;
use gatling_runs::lock::Lock;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_parent_process_death_signal, wait};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::processes::{RUN_VARIABLE, kill_all};
use crate::perform::removal::remove_leftovers;

/// Starts the worker of a run with these arguments, waits for it, and kills what it leaves. Returns its exit code; if a
/// signal ended it, the same signal ends this process.
///
/// # Errors
/// If the worker cannot be started.
pub fn guard(paths: &ProjectPaths, run: &str, args: &[String]) -> Result<u8> {
    adopt_orphans().context("cannot become the parent of the run's processes")?;
    let _guarding = Lock::take(&Runs::below(&paths.state_dir()).guard_lock(run), |_| {})?;
    // Before the worker is started: what asks it to stop may come at any time.
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("cannot wait for signals")?;
    let mut command = Command::new(env::current_exe().context("cannot find the gatling program itself")?);
    command.args(args).env(RUN_VARIABLE, run);
    // SAFETY: between fork and exec this makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let worker = command.spawn().context("cannot start the worker")?;
    let worker = Pid::from_child(&worker);
    thread::spawn(move || {
        for signal in signals.forever() {
            if let Some(signal) = Signal::from_named_raw(signal) {
                // An error means that it has ended.
                _ = kill_process(worker, signal);
            }
        }
    });
    let status = wait_for(worker).context("cannot wait for the worker")?;
    kill_all(paths);
    // A run that only waited must not touch the files of the one in progress.
    if Runs::below(&paths.state_dir()).summary(run).is_ok_and(|run| run.release.is_some()) {
        remove_discarded(paths);
    }
    if let Some(signal) = status.signal().and_then(Signal::from_named_raw) {
        _ = signal_hook::low_level::emulate_default_handler(signal.as_raw());
        _ = kill_process(rustix::process::getpid(), signal);
    }
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Removes what the run has moved aside. What cannot be removed now is removed after the next run.
fn remove_discarded(paths: &ProjectPaths) {
    let built = fs::read_dir(paths.build_dir().join("_build")).into_iter().flatten().flatten();
    for folder in built.map(|env| env.path().join("rel")).chain([paths.deploy_dir()]) {
        _ = remove_leftovers(&folder);
    }
}

/// Waits for the worker, and for orphans of the run, which are now children of this process.
fn wait_for(worker: Pid) -> io::Result<ExitStatus> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == worker => return Ok(ExitStatus::from_raw(status.as_raw())),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
