//! How a release that is already built takes over from the current one, in a restart and in a rollback.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use gatling_config::dotenv::Dotenv;
use gatling_config::paths::ProjectPaths;
use gatling_config::settings::{ProjectSettings, Strategy};
use gatling_pipeline::Action;
use gatling_pipeline::facts::server::Place;
use gatling_process::{Command, shell};

use crate::perform::Performer;
use crate::serving;

/// Why the app must be stopped although nobody asked for it, in a restart and in a rollback.
pub(crate) const OUTAGE: &str = "nginx cannot switch between two of its releases. The next push changes this, unless the \
     project has its own nginx.conf";

/// How long this release is watched once it serves.
pub(crate) fn soak(paths: &ProjectPaths, release: &str) -> Duration {
    let settings = serving::settings(paths, release);
    let seconds = settings.get("GATLING_SOAK_SECONDS").and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or_default())
}

/// Where a copy of the current release can run beside it, if nginx can switch to it.
pub(crate) fn beside(paths: &ProjectPaths, settings: &ProjectSettings, place: &Place) -> Option<Place> {
    if settings.strategy == Some(Strategy::Restart) {
        return None;
    }
    let token = place.token.as_ref()?;
    // nginx knows the ports best: an upgrade that failed may have changed one.
    let ask = |slot| serving::port_of_slot(paths, token, slot).ok().flatten();
    let (own, other) = (ask(place.slot), ask(place.slot.other()));
    let is_usable = |other: &u16| own == Some(place.port) && *other != place.port;
    other.filter(is_usable).map(|other| Place {
        slot: place.slot.other(),
        port: other,
        other_port: Some(place.port),
        token: Some(token.clone()),
    })
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
