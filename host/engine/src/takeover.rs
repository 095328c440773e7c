//! How a release that is already built takes over from the current one, in a restart and in a rollback.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use gatling_config::dotenv::Dotenv;
use gatling_config::roots::ProjectPaths;
use gatling_config::settings::{ProjectSettings, Strategy};
use gatling_pipeline::facts::server::Place;
use gatling_pipeline::{Action, Beside};
use gatling_process::{Command, shell};
use gatling_runs::{Change, Event, Events};

use crate::facts::server::{has_systemd, needs_sudo};
use crate::perform::Performer;
use crate::run::Goal;
use crate::serving;

/// The event that says what a restart or a rollback will do.
pub(crate) fn planned(goal: Goal, current: &str, release: &str, is_beside: bool) -> Event {
    Event::Planned {
        pipeline: goal.name(),
        version: base(release).to_owned(),
        release: release.to_owned(),
        previous: Some(current.to_owned()),
        branch: String::new(),
        commit: String::new(),
        steps: Vec::new(),
        strategy: Some(if is_beside { Strategy::BlueGreen } else { Strategy::Restart }.name().to_owned()),
        strategy_reason: None,
    }
}

/// Says so if the app must be stopped although nobody asked for it.
pub(crate) fn note_outage(paths: &ProjectPaths, is_beside: bool, events: &Events) -> Result<()> {
    if !is_beside && ProjectSettings::read(&paths.build_dir())?.strategy.is_none() {
        events.note(
            "the app does not answer while it is restarted: nginx cannot switch between two of its releases. The next push \
             changes this, unless the project has its own nginx.conf",
        );
    }
    Ok(())
}

/// Has a release that is complete in its folder serve instead of the current one.
pub(crate) fn switch(
    paths: &ProjectPaths,
    current: &str,
    release: &str,
    place: &Place,
    performer: Performer<'_>,
) -> Result<()> {
    performer.perform(&Action::SyncRelease { path: paths.releases_dir().join(release) })?;
    let mut names = paths.names();
    if !names.iter().any(|name| name == release) {
        names.push(release.to_owned());
        let contents = names.join("\n") + "\n";
        performer.perform(&Action::WriteFile { path: paths.names_file(), contents, mode: 0o644 })?;
    }
    let (switch, undo) = if place.slot == serving::slot(paths, current) {
        let upgrade = |release: &str| gatling_pipeline::service(paths, needs_sudo(paths), ["upgrade", release]);
        let proof = Action::ProveVisitors { paths: paths.clone() };
        (vec![Action::run(upgrade(release)), proof], vec![upgrade(current)])
    } else {
        let soak = serving::settings(paths, release);
        let soak = soak.get("GATLING_SOAK_SECONDS").and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
        let switch = Beside {
            paths,
            release: release.to_owned(),
            port: place.port,
            soak: Duration::from_secs(soak),
            proof: None,
        };
        let mut actions = switch.actions();
        actions.extend(gatling_pipeline::tell_systemd(paths, has_systemd(), needs_sudo(paths)));
        (actions, vec![gatling_pipeline::keep(paths, current)])
    };
    performer.perform(&Action::change(Change::Release, release, switch, undo))?;
    let needed = vec![release.to_owned(), current.to_owned()];
    let keep = Action::KeepReleases { paths: paths.clone(), serves: release.to_owned(), needed };
    performer.perform(&Action::change(Change::OldReleases, "the latest that served", vec![keep], Vec::new()))
}

/// Where a copy of the current release can run beside it, if nginx can switch to it.
pub(crate) fn beside(paths: &ProjectPaths, place: &Place) -> Result<Option<Place>> {
    if ProjectSettings::read(&paths.build_dir())?.strategy == Some(Strategy::Restart) {
        return Ok(None);
    }
    let Some(token) = &place.token else { return Ok(None) };
    // nginx knows the ports best: an upgrade that failed may have changed one.
    let ask = |slot| serving::port_of_slot(paths, token, slot).ok().flatten();
    let (own, other) = (ask(place.slot), ask(place.slot.other()));
    let is_usable = |other: &u16| own == Some(place.port) && *other != place.port;
    Ok(other.filter(is_usable).map(|other| Place {
        slot: place.slot.other(),
        port: other,
        other_port: Some(place.port),
        token: Some(token.clone()),
    }))
}

/// The settings for the init script, for a release in this place.
pub(crate) fn settings(mut noted: Dotenv, place: &Place) -> Result<Dotenv> {
    noted.set("GATLING_SLOT", place.slot.name())?;
    noted.set("GATLING_PORT", &place.port.to_string())?;
    if let Some(other) = place.other_port {
        noted.set("GATLING_OTHER_PORT", &other.to_string())?;
    }
    Ok(noted)
}

pub(crate) fn copy(
    paths: &ProjectPaths,
    from: &Path,
    new: &str,
    environment: &Dotenv,
    settings: &Dotenv,
    performer: Performer<'_>,
) -> Result<()> {
    let to = paths.releases_dir().join(new);
    performer.perform(&Action::Clear { path: to.clone() })?;
    performer.perform(&Action::MakeDir { path: to.clone() })?;
    let settings = settings.iter().map(|(name, value)| format!("{name}={}\n", shell::quoted(value)));
    fs::write(to.join("service.env"), settings.collect::<String>()).context("cannot write the release's settings")?;
    environment.write(&to.join(".env"))?;
    let name = paths.name.as_str();
    let partial = to.join(format!("{name}.partial")).display().to_string();
    let copy = ["-a", "--reflink=auto", &from.join(name).display().to_string(), &partial];
    performer.perform(&Action::run(Command::new("cp", copy, &to).quiet()))?;
    fs::rename(&partial, to.join(name)).with_context(|| format!("cannot rename {partial}"))
}

/// The version in a release's name.
pub(crate) fn base(release: &str) -> &str {
    match release.rsplit_once('+') {
        Some((base, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => base,
        _ => release,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_numbered_after_its_version() {
        for (release, version) in [("0.1.0", "0.1.0"), ("0.1.0+2", "0.1.0"), ("0.1.0+a1", "0.1.0+a1"), ("1+", "1+")] {
            assert_eq!(base(release), version);
        }
    }
}
