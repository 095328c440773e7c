//! Recovery after runs that were killed: waits until nothing of them runs any more, and completes or undoes what they
//! were changing. What the server boots with (the current release, the site) is always something that was proven, so
//! recovery may happen at any later time.

use anyhow::{Context as _, Result};
use gatling_config::paths::ProjectPaths;
use gatling_process::Command;
use gatling_runs::lock::Lock;
use gatling_runs::store::OpenChange;
use gatling_runs::{Change, Event, Events, Runs, Serving, State, Summary};

use super::Goal;
use super::processes::kill_leftovers;
use crate::perform::Performer;
use crate::serving::{self, Running};

/// Whether runs that were killed have left a change of the release or of the site open, or visitors are passed to a slot
/// where nothing runs, and no run is in progress.
#[must_use]
pub fn is_needed(paths: &ProjectPaths) -> bool {
    let runs = Runs::below(&paths.state_dir());
    let latest = runs.latest(GUARDED_RUNS).unwrap_or_default();
    // If that could not undo it, the next push tries again.
    let is_recovery = |run: &Summary| {
        run.pipeline.as_deref() == Some(Goal::RECOVER) && run.state.is_over() && run.state != State::Killed
    };
    let tried = latest.into_iter().find(|(_, run)| run.as_ref().is_ok_and(is_recovery)).map(|(id, _)| id);
    let killed = runs.killed("").unwrap_or_default();
    let mut killed = killed.iter().filter(|run| tried.as_ref().is_none_or(|tried| *run > tried));
    let is_open = killed.any(|run| !open_changes(&runs, run).is_empty()) || left_alone(paths).is_some();
    is_open && matches!(Lock::try_take(&paths.run_lock()), Ok(Ok(_)))
}

/// How many of the latest runs may still have a guard.
const GUARDED_RUNS: usize = 10;

/// Waits until the guards of earlier runs have ended what these runs have left.
///
/// # Errors
/// If the runs cannot be read.
pub(super) fn wait_for_guards(runs: &Runs, own: &str, events: &Events) -> Result<()> {
    for (id, run) in runs.latest(GUARDED_RUNS)? {
        let lock = runs.guard_lock(&id);
        // The guard of a run that waits has its lock too.
        if id != own && run.is_ok_and(|run| run.state.is_over()) && lock.exists() {
            Lock::wait(&lock, || events.debug(format!("waiting for processes of the run {id} to end")))?;
        }
    }
    Ok(())
}

/// Completes or undoes what these runs were changing when they were killed. The caller holds the project's lock.
///
/// # Errors
/// If it is not known whether something of them still runs.
pub(super) fn recover(paths: &ProjectPaths, runs: &Runs, killed: &[String], events: &Events) -> Result<()> {
    for run in killed {
        kill_leftovers(paths, run);
    }
    wait_for_service(paths, events)?;
    for run in killed {
        for open in open_changes(runs, run) {
            let outcome = match open.change {
                Change::Release => settle_release(paths, run, &open, events),
                // The next run sees whether nginx uses the site.
                _ if matches!(serving::look(paths), Serving::Serving { .. }) => Event::Changed { change: open.change },
                _ => undo(run, &open, events),
            };
            // If it cannot be noted, the next run looks again.
            _ = runs.append(run, outcome);
        }
    }
    // If this fails, the run goes on: it may be what repairs it.
    let keep = |release: &str| {
        if let Err(error) = Performer::new(events).run(&gatling_pipeline::keep(paths, release)) {
            events.warn(format!("this could not be completed: {error:#}"));
        }
    };
    if let Some(release) = left_alone(paths) {
        events.note(format!(
            "nginx passes visitors to the {} slot, where no release runs: switching it to {release}, which runs in the other slot",
            paths.live_slot()
        ));
        keep(&release);
        return Ok(());
    }
    let Some(serves) = serving::running(paths) else { return Ok(()) };
    // One that no longer listens has been told to stop.
    let listens = |other: &Running| other.release != serves.release && serving::listens_on_its_port(paths, other);
    if let Some(other) = serving::all_running(paths).iter().find(|other| listens(other)) {
        events.note(format!("{} serves; {}, which still runs too, is stopped", serves.release, other.release));
        keep(&serves.release);
    }
    Ok(())
}

/// The current release, if it runs, but nginx passes visitors to the other slot, where nothing runs: somebody has removed or
/// made the file that decides.
fn left_alone(paths: &ProjectPaths) -> Option<String> {
    let (current, live) = (paths.current_release()?, paths.live_slot());
    if serving::slot(paths, &current) == live {
        return None;
    }
    let running = serving::all_running(paths);
    let is_live = running.iter().any(|running| serving::slot(paths, &running.release) == live);
    (!is_live && running.iter().any(|running| running.release == current)).then_some(current)
}

/// The open changes of a run that recovery completes or undoes. The files of the checkout are restored by the next
/// checkout, and what `unload` has begun to remove can only be removed.
fn open_changes(runs: &Runs, run: &str) -> Vec<OpenChange> {
    let open = runs.open_changes(run).unwrap_or_default();
    open.into_iter().filter(|open| matches!(open.change, Change::Release | Change::Site)).collect()
}

/// Waits until the init script has ended: it goes on if the run that called it is killed.
fn wait_for_service(paths: &ProjectPaths, events: &Events) -> Result<()> {
    let lock = paths.service_lock();
    if lock.exists() {
        Lock::wait(&lock, || {
            events.note("waiting for the init script, which is still starting or switching releases")
        })?;
    }
    Ok(())
}

/// Keeps the release that serves, whichever it is, or goes back to the one before.
fn settle_release(paths: &ProjectPaths, run: &str, open: &OpenChange, events: &Events) -> Event {
    let change = Change::Release;
    match serving::look(paths) {
        // Visitors get it, and it answers.
        Serving::Serving { release }
            if paths.current_release().as_ref() == Some(&release)
                || serving::settings(paths, &release).get("GATLING_SLOT").is_some() =>
        {
            events.note(format!("the run {run} was killed while it switched to {}: {release} serves", open.to));
            if let Err(error) = stop_others(paths, &release, events) {
                events.warn(format!("the other release could not be stopped: {error:#}"));
                return Event::Undone { change, ok: false };
            }
            if release == open.to { Event::Changed { change } } else { Event::Undone { change, ok: true } }
        }
        // A restart of the current release.
        _ if open.undo.is_empty() && paths.is_deployed() => {
            let start = gatling_pipeline::script(paths, ["start"]);
            undo(run, &OpenChange { undo: vec![start], ..open.clone() }, events)
        }
        _ => undo(run, open, events),
    }
}

/// Stops what runs beside the release that serves, and makes that the current one.
fn stop_others(paths: &ProjectPaths, release: &str, events: &Events) -> Result<()> {
    let is_alone = serving::all_running(paths).iter().all(|running| running.release == release);
    if is_alone && paths.current_release().as_deref() == Some(release) {
        return Ok(());
    }
    Performer::new(events).run(&gatling_pipeline::keep(paths, release))
}

fn undo(run: &str, open: &OpenChange, events: &Events) -> Event {
    let OpenChange { change, to, undo } = open;
    if undo.is_empty() {
        // A first deployment, which the next push repeats.
        return Event::Undone { change: *change, ok: true };
    }
    events.note(format!("the run {run} was killed while it changed {} to {to}: undoing this", change.name()));
    let result = run_all(undo, events);
    if let Err(error) = &result {
        events.warn(format!("this could not be undone: {error:#}"));
    }
    Event::Undone { change: *change, ok: result.is_ok() }
}

fn run_all(commands: &[Command], events: &Events) -> Result<()> {
    let performer = Performer::new(events);
    commands.iter().try_for_each(|command| performer.run(command)).context("a command failed")
}
