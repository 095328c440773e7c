//! `gatling restart`: starts the current release again, with the variables that the project's `.env` has now.
//!
//! A changed environment can break an app just as new code can. So a copy of the current release is started with it,
//! as a new release, which replaces the current one only if it answers.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use gatling_config::dotenv::Dotenv;
use gatling_config::roots::ProjectPaths;
use gatling_pipeline::{Action, release_environment};
use gatling_process::Command;
use gatling_runs::{Change, Event, Events};

use crate::facts::release_name;
use crate::facts::server::needs_sudo;
use crate::perform::Performer;
use crate::run::Goal;
use crate::run::interrupt::Interrupt;
use crate::serving;

/// Restarts the app of a project, and returns the host names at which it is serving.
///
/// # Errors
/// If the app is not deployed, or does not answer. If its environment has changed, the previous release is restored.
pub(crate) fn restart(paths: &ProjectPaths, interrupt: &Interrupt, events: &Events) -> Result<Vec<String>> {
    let Some(current) = paths.current_release().filter(|_| paths.is_deployed()) else {
        bail!("{0} is not deployed yet: push to it, or run `gatling deploy {0}`", paths.name);
    };
    let folder = paths.releases_dir().join(&current);
    let environment = new_environment(paths, &folder, events)?;
    let is_changed = Dotenv::read(&folder.join(".env"))? != environment;
    let release = if is_changed { release_name(paths, base(&current)) } else { current.clone() };
    events.emit(Event::Planned {
        pipeline: Goal::Restart.name(),
        version: base(&current).to_owned(),
        release: release.clone(),
        previous: Some(current.clone()),
        branch: String::new(),
        commit: String::new(),
        steps: Vec::new(),
    });
    let sudo = needs_sudo(paths);
    let service = |args: [&str; 2]| Action::run(gatling_pipeline::service(paths, sudo, args));
    let performer = Performer::new(events).with_interrupt(interrupt);
    let proof = Action::ProveVisitors { paths: paths.clone() };
    if !is_changed {
        events.note(format!("the environment of {} {current} has not changed", paths.name));
        let restart = vec![Action::run(gatling_pipeline::service(paths, sudo, ["restart"])), proof];
        performer.perform(&Action::change(Change::Release, current, restart, Vec::new()))?;
    } else {
        events.note(format!(
            "the environment of {} {current} has changed; it is started as release {release}",
            paths.name
        ));
        copy(paths, &folder, &release, &environment, performer)?;
        performer.perform(&Action::SyncRelease { path: paths.releases_dir().join(&release) })?;
        let mut names = paths.names();
        names.push(release.clone());
        let contents = names.join("\n") + "\n";
        performer.perform(&Action::WriteFile { path: paths.names_file(), contents, mode: 0o644 })?;
        let switch = vec![service(["upgrade", &release]), proof];
        let undo = vec![gatling_pipeline::service(paths, sudo, ["upgrade", &current])];
        performer.perform(&Action::change(Change::Release, release.clone(), switch, undo))?;
        let needed = vec![release.clone(), current];
        let keep = Action::KeepReleases { paths: paths.clone(), serves: release, needed };
        performer.perform(&Action::change(Change::OldReleases, "the latest that served", vec![keep], Vec::new()))?;
    }
    Ok(serving::hosts(paths))
}

/// The environment that the release would get now. Its port stays the same, because nginx's site has it.
fn new_environment(paths: &ProjectPaths, folder: &Path, events: &Events) -> Result<Dotenv> {
    let noted = Dotenv::read(&folder.join("service.env"))?;
    let old = Dotenv::read(&folder.join(".env"))?;
    let port: Option<u16> = noted.get("GATLING_PORT").and_then(|port| port.parse().ok());
    let port = port.with_context(|| format!("{} has no port", folder.join("service.env").display()))?;
    let host = old.get("PHX_HOST").or(noted.get("GATLING_HOST")).unwrap_or("localhost");
    let own = Dotenv::read(&paths.dotenv())?;
    if own.get("PORT").is_some_and(|own| own.parse() != Ok(port)) {
        events.warn(format!("PORT changes with an upgrade, not with a restart: gatling upgrade {}", paths.name));
    }
    let variables = own.iter().collect();
    release_environment(paths.name.as_str(), host, port, &variables)
}

fn copy(paths: &ProjectPaths, from: &Path, new: &str, environment: &Dotenv, performer: Performer<'_>) -> Result<()> {
    let to = paths.releases_dir().join(new);
    performer.perform(&Action::Clear { path: to.clone() })?;
    performer.perform(&Action::MakeDir { path: to.clone() })?;
    fs::copy(from.join("service.env"), to.join("service.env")).context("cannot copy the release's settings")?;
    environment.write(&to.join(".env"))?;
    let name = paths.name.as_str();
    let partial = to.join(format!("{name}.partial")).display().to_string();
    let copy = ["-a", "--reflink=auto", &from.join(name).display().to_string(), &partial];
    performer.perform(&Action::run(Command::new("cp", copy, &to).quiet()))?;
    fs::rename(&partial, to.join(name)).with_context(|| format!("cannot rename {partial}"))
}

/// The version in a release's name.
fn base(release: &str) -> &str {
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
