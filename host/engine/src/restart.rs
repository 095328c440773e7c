//! `gatling restart`: starts the current release again, with the variables that the project's `.env` has now.
//!
//! A changed environment can break an app just as new code can. So a copy of the current release is started with it, and
//! takes over only if it answers. Where nginx can switch between two releases, this is done without an interruption.

use std::path::Path;

use anyhow::{Context, Result, bail};
use gatling_config::dotenv::Dotenv;
use gatling_config::paths::ProjectPaths;
use gatling_config::settings::{ProjectSettings, Strategy};
use gatling_pipeline::facts::server::Place;
use gatling_pipeline::{Action, TakeOver, release_environment};
use gatling_runs::{Change, Event, Events};

use crate::facts::release_name;
use crate::facts::server::{must_tell_systemd, needs_sudo, place};
use crate::perform::Performer;
use crate::run::Goal;
use crate::run::interrupt::Interrupt;
use crate::serving;
use crate::takeover::{OUTAGE, base, beside, copy, settings, soak};

/// Restarts the app of a project, and returns the host names at which it is serving.
///
/// # Errors
/// If the app is not deployed, or does not answer. The release that served before then serves again.
pub(crate) fn restart(paths: &ProjectPaths, interrupt: &Interrupt, events: &Events) -> Result<Vec<String>> {
    let Some(current) = paths.current_release().filter(|_| paths.is_deployed()) else {
        bail!("{0} is not deployed yet: push to it, or run `gatling deploy {0}`", paths.name);
    };
    let folder = paths.releases_dir().join(&current);
    let noted = Dotenv::read(&folder.join("service.env"))?;
    let place = place(paths).with_context(|| format!("{} has no port", folder.join("service.env").display()))?;
    warn_of_port(paths, &place, events)?;
    let is_changed = Dotenv::read(&folder.join(".env"))? != new_environment(paths, &folder, &noted, &place)?;
    let project = ProjectSettings::read(&paths.build_dir())?;
    let beside = beside(paths, &project, &place);
    let release = if is_changed || beside.is_some() { release_name(paths, base(&current)) } else { current.clone() };
    events.emit(planned(&current, &release, beside.is_some()));
    if beside.is_none() && project.strategy.is_none() {
        events.note(format!("the app does not answer while it is restarted: {OUTAGE}"));
    }
    let performer = Performer::new(events).with_interrupt(interrupt);
    let what = if is_changed { "has changed" } else { "has not changed" };
    events.note(format!("the environment of {} {current} {what}", paths.name));
    if release == current {
        let restart = vec![
            Action::run(gatling_pipeline::script(paths, ["restart"])),
            Action::ProveVisitors { paths: paths.clone() },
        ];
        performer.perform(&Action::change(Change::Release, current, restart, Vec::new()))?;
        return Ok(serving::hosts(paths));
    }
    events.note(format!("it is restarted as a copy, {release}"));
    if beside.is_some() {
        performer.check_beforehand(&Action::CheckMemory { paths: paths.clone() })?;
    }
    let is_beside = beside.is_some();
    let place = beside.unwrap_or(place);
    let environment = new_environment(paths, &folder, &noted, &place)?;
    copy(paths, &folder, &release, &environment, &settings(noted, &place)?, performer)?;
    let take_over = TakeOver {
        paths,
        current: &current,
        release: &release,
        port: place.port,
        is_beside,
        soak: soak(paths, &release),
        names: &paths.names(),
        sudo: needs_sudo(paths),
        must_tell_systemd: must_tell_systemd(paths),
    };
    take_over.actions().iter().try_for_each(|action| performer.perform(action))?;
    Ok(serving::hosts(paths))
}

/// The event that says what the restart will do.
fn planned(current: &str, release: &str, is_beside: bool) -> Event {
    let strategy = if is_beside { Strategy::BlueGreen } else { Strategy::Restart };
    Event::Planned {
        pipeline: Goal::Restart.name(),
        version: base(release).to_owned(),
        release: release.to_owned(),
        previous: Some(current.to_owned()),
        branch: String::new(),
        commit: String::new(),
        steps: Vec::new(),
        strategy: Some(strategy.name().to_owned()),
        strategy_reason: None,
    }
}

/// The environment that the release would get now. Its port does not follow PORT, because nginx's site has it.
fn new_environment(paths: &ProjectPaths, folder: &Path, noted: &Dotenv, place: &Place) -> Result<Dotenv> {
    let old = Dotenv::read(&folder.join(".env"))?;
    let host = old.get("PHX_HOST").or(noted.get("GATLING_HOST")).unwrap_or("localhost");
    let own = Dotenv::read(&paths.dotenv())?;
    let variables = own.iter().collect();
    release_environment(paths.name.as_str(), host, place.slot, place.port, &variables)
}

/// Warns if the project's PORT has changed.
fn warn_of_port(paths: &ProjectPaths, place: &Place, events: &Events) -> Result<()> {
    let own = Dotenv::read(&paths.dotenv())?;
    let Some(wanted) = own.get("PORT") else { return Ok(()) };
    let wanted = wanted.parse().ok();
    if wanted != Some(place.port) && (wanted.is_none() || wanted != place.other_port) {
        events.warn(format!("PORT changes with an upgrade, not with a restart: gatling upgrade {}", paths.name));
    }
    Ok(())
}
