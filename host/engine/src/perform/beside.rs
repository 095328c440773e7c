//! Proves a release that runs beside the one that serves, and watches it when it has taken over.

use std::fs;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bytesize::ByteSize;
use gatling_config::paths::ProjectPaths;
use gatling_pipeline::action::{SlotProof, Soak};
use gatling_process::{Command, LastLines, Started};
use gatling_runs::Events;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Performer;
use super::files::write_file;
use crate::AppLog;
use crate::marks::{self, Mark};
use crate::nginx::visitor::Visit;
use crate::release::service_command;
use crate::serving;

/// How often a release that has taken over is visited.
const VISIT_EVERY: Duration = Duration::from_millis(500);

/// How many visits in a row must fail: one may meet a moment of load.
const FAILED_VISITS: usize = 3;

/// A visit that fails after this time is enough: visitors wait in vain.
const LONG_VISIT: Duration = Duration::from_secs(5);

/// How long to wait for the number of errors at the end.
const RESULT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long nginx may take to pass visitors to the other slot. It looks for the file on each request.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Fails unless nginx passes visitors to the release, and serves them.
pub(super) fn prove(proof: &SlotProof) -> Result<()> {
    let SlotProof { paths, release, port, is_live } = proof;
    let deadline = Instant::now() + SWITCH_TIMEOUT;
    loop {
        match serving::port_of_nginx(paths, release, !is_live)? {
            Some(other) if other != *port && Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            Some(other) if other != *port && !is_live => bail!(
                "nginx does not pass a trial request to {release} at port {port}, but to port {other}; visitors still get the \
                 old release"
            ),
            Some(other) if other != *port => bail!(
                "nginx still passes visitors to port {other}, not to {release} at port {port}: can its workers read {}? \
                 Check with: sudo -u www-data ls -l {0}",
                paths.lib_dir().unwrap_or_default().display()
            ),
            _ => break,
        }
    }
    match serving::unserved_by(paths, release, !is_live)? {
        Some(visit) if !is_live => {
            bail!(
                "{release} does not serve when it is visited through nginx, so visitors still get the old release: {visit}"
            )
        }
        visit => check(visit),
    }
}

fn check(visit: Option<Visit>) -> Result<()> {
    match visit {
        Some(visit) => bail!("visitors are not served: {visit}"),
        None => Ok(()),
    }
}

/// Watches a release that serves, and marks it if it fails.
pub(super) fn soak(soak: &Soak, performer: Performer<'_>) -> Result<()> {
    let result = watch(soak, performer);
    if let Err(error) = &result
        && performer.interrupt.is_none_or(|interrupt| interrupt.check().is_ok())
    {
        // The next run can do without.
        _ = marks::add(&soak.paths, &Mark::new(&soak.paths, &soak.release, format!("{error}")));
    }
    result
}

/// It must go on running, and answering.
fn watch(soak: &Soak, performer: Performer<'_>) -> Result<()> {
    let Soak { paths, release, time, watch } = soak;
    performer
        .events
        .note(format!("watching {release} for {} s, while the old release can still take over", time.as_secs()));
    let process = serving::process_of(paths, release).and_then(|running| pidfd(running.pid));
    let mut errors = ErrorWatch::start(paths, watch, *time);
    let begun = Instant::now();
    let mut failed = 0;
    // After a visit that failed, the next ones decide, however long that takes.
    while begun.elapsed() < *time || failed > 0 {
        let pause = match failed {
            0 => VISIT_EVERY.min(time.saturating_sub(begun.elapsed())),
            _ => VISIT_EVERY,
        };
        let is_alive = process.as_ref().is_some_and(|process| lives_on(process, pause));
        if let Some(interrupt) = performer.interrupt {
            interrupt.check()?;
        }
        let seconds = begun.elapsed().as_secs();
        if !is_alive {
            bail!("{release} died {seconds} s after it began to serve: see {}", log(paths, release));
        }
        errors.check(soak, performer.events)?;
        let visit = Instant::now();
        match check(serving::unserved_by(paths, release, false)?) {
            Ok(()) => failed = 0,
            Err(error) => {
                failed += 1;
                if failed == FAILED_VISITS || visit.elapsed() > LONG_VISIT {
                    return Err(error).with_context(|| {
                        format!("{release} failed {seconds} s after it began to serve: see {}", log(paths, release))
                    });
                }
            }
        }
    }
    errors.wait();
    errors.check(soak, performer.events)
}

/// Has the app itself count the errors that visitors get. It only can if it is a Phoenix app whose node can be asked.
struct ErrorWatch(Option<Started>);

impl ErrorWatch {
    fn start(paths: &ProjectPaths, watch: &Command, time: Duration) -> Self {
        // It takes a moment to connect to the node.
        let is_possible =
            time >= Duration::from_secs(2) && write_file(&paths.soak_program(), gatling_templates::SOAK, 0o644).is_ok();
        Self(is_possible.then(|| watch.start_in_group().ok()).flatten())
    }

    /// Waits a moment for the result.
    fn wait(&mut self) {
        let deadline = Instant::now() + RESULT_TIMEOUT;
        while Instant::now() < deadline && self.0.as_mut().is_some_and(|watch| matches!(watch.has_ended(), Ok(false))) {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Fails if there were too many errors.
    fn check(&mut self, soak: &Soak, events: &Events) -> Result<()> {
        let Some(watch) = self.0.take_if(|watch| matches!(watch.has_ended(), Ok(true))) else { return Ok(()) };
        let mut last = LastLines::default();
        watch.stream(|lines| last.take(&lines))?;
        let last = Vec::from(last).pop().unwrap_or_default();
        if let Some(errors) = last.strip_prefix("errors: ") {
            let Soak { paths, release, .. } = soak;
            bail!("visitors of {release} got errors: {errors}. See {}", log(paths, release));
        }
        if last.starts_with("visitors got") {
            events.note(last);
        } else {
            events.debug(format!("errors that visitors get are not counted: {last}"));
        }
        Ok(())
    }
}

fn pidfd(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()
}

/// Waits, and returns whether the process still lives then. If it exits, this is known at once.
fn lives_on(process: &OwnedFd, time: Duration) -> bool {
    let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    loop {
        match poll(&mut fds, Some(&time)) {
            Err(Errno::INTR) => {}
            result => return matches!(result, Ok(0)),
        }
    }
}

fn log(paths: &ProjectPaths, release: &str) -> String {
    AppLog::of(paths, serving::slot(paths, release)).to_string()
}

/// Fails unless there is memory for a second copy of the app that runs.
pub(super) fn check_memory(paths: &ProjectPaths) -> Result<()> {
    let Some(running) = serving::running(paths) else { return Ok(()) };
    let read = |file: String, name: &str| -> Option<u64> {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    // If the kernel does not say it, nothing is known that would be in the way.
    let Some(used) = read(format!("/proc/{}/status", running.pid), "RssAnon:") else { return Ok(()) };
    let free = |name: &str| read("/proc/meminfo".to_owned(), name);
    let Some(available) = free("MemAvailable:") else { return Ok(()) };
    let available = available + free("SwapFree:").unwrap_or_default();
    if used > available {
        bail!(
            "there is not enough memory to run two releases at once: the app uses {}, and {} is available. Add swap, or stop \
             the app with `{}` and try again: visitors get no answer until the new release has started. To stop the app at \
             every upgrade, set `strategy = \"restart\"` in gatling.toml",
            ByteSize::b(used),
            ByteSize::b(available),
            service_command(paths, "stop")
        );
    }
    Ok(())
}
