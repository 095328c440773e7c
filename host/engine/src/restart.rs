//! `gatling restart`: the release that serves is started anew, with what its `.env` says by now.
//!
//! A changed environment is as little proven as new code. So it comes into a release of its own: a
//! copy of the one that serves, which takes its place only if it answers.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::facts::numbered;
use crate::facts::server::needs_sudo;
use crate::perform::Performer;
use crate::serving;
use gatling_config::dotenv::Dotenv;
use gatling_config::roots::ProjectPaths;
use gatling_pipeline::{Action, release_environment, service};
use gatling_process::Command;
use gatling_runs::Events;
use gatling_runs::lock::Lock;

/// Restarts the app of a project.
///
/// # Errors
/// When it isn't deployed, or doesn't answer; the release that served before is put back where its
/// environment was another one.
pub fn restart(paths: &ProjectPaths, events: &Events) -> Result<()> {
    let Some(current) = paths.current_release().filter(|_| paths.is_deployed()) else {
        bail!("{0} is not deployed yet: push to it, or run `gatling deploy {0}`", paths.name);
    };
    let mut lock = Lock::take(&paths.state_dir().join("lock"), |owner| events.note(format!("waiting for {owner}")))?;
    lock.announce(&format!("the restart of {}", paths.name));
    let folder = paths.releases_dir().join(&current);
    let environment = new_environment(paths, &folder, events)?;
    let sudo = needs_sudo(paths);
    let performer = Performer::new(events);
    if Dotenv::read(&folder.join(".env"))? == environment {
        events.note(format!("the environment of {} {current} is as it was", paths.name));
        performer.perform(&Action::run(service(paths, sudo, ["restart"])))?;
        return prove(paths, &current, events);
    }
    let new = numbered(paths, base(&current));
    events.note(format!("{} {current} gets a changed environment, as release {new}", paths.name));
    copy(paths, &folder, &new, &environment, events)?;
    performer.perform(&Action::run(service(paths, sudo, ["upgrade", &new])))?;
    if let Err(error) = prove(paths, &new, events) {
        let back = performer.perform(&Action::run(service(paths, sudo, ["upgrade", &current])));
        return Err(error).context(match back {
            Ok(()) => format!("{current} was put back with its old environment"),
            Err(failed) => format!("{current} could not be put back: {failed:#}"),
        });
    }
    let needed = vec![new.clone(), current];
    performer.perform(&Action::KeepReleases { paths: paths.clone(), serves: new, needed })
}

/// The environment that the release would get today. Its port stays: nginx would have to follow.
fn new_environment(paths: &ProjectPaths, folder: &Path, events: &Events) -> Result<Dotenv> {
    let noted = Dotenv::read(&folder.join("service.env"))?;
    let old = Dotenv::read(&folder.join(".env"))?;
    let port: Option<u16> = noted.get("GATLING_PORT").and_then(|port| port.parse().ok());
    let port = port.with_context(|| format!("{} names no port", folder.join("service.env").display()))?;
    let host = old.get("PHX_HOST").or(noted.get("GATLING_HOST")).unwrap_or("localhost");
    let own = Dotenv::read(&paths.dotenv())?;
    if own.get("PORT").is_some_and(|own| own.parse() != Ok(port)) {
        events.warn(format!("PORT changes with an upgrade, not with a restart: gatling upgrade {}", paths.name));
    }
    let variables = own.iter().collect();
    release_environment(paths.name.as_str(), host, port, &variables)
}

fn copy(paths: &ProjectPaths, from: &Path, new: &str, environment: &Dotenv, events: &Events) -> Result<()> {
    let to = paths.releases_dir().join(new);
    let performer = Performer::new(events);
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

fn prove(paths: &ProjectPaths, release: &str, events: &Events) -> Result<()> {
    match serving::unserved(paths)? {
        Some(visit) => bail!("visitors are not served: {visit}"),
        None => {
            events.note(format!("{} {release} is serving", paths.name));
            Ok(())
        }
    }
}

/// The version that a release's name begins with.
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
