//! How the new release takes over from the one that serves, and where it runs.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;

use anyhow::{Context as _, Result, bail};
use gatling_config::dotenv::Dotenv;
use gatling_config::paths::ProjectPaths;
use gatling_config::settings::{ProjectSettings, Strategy};
use gatling_config::slot::{Slot, SlotPorts};
use gatling_pipeline::Pipeline;
use gatling_pipeline::facts::rollback::RollbackFacts;
use gatling_pipeline::facts::server::{Link, Place};
use gatling_process::Environ;
use gatling_runs::Serving;

use super::server::{installed_site, place};
use crate::serving::{self, Running};
use crate::takeover::OUTAGE;

const SAYS_SO: &str = "gatling.toml says so";

/// How the new release takes over, and where it runs.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    /// How it takes over.
    pub(super) strategy: Strategy,
    /// Why in this way.
    pub(super) reason: String,
    /// Where it runs.
    pub(super) slot: Slot,
    /// The ports of both slots.
    pub(super) ports: SlotPorts,
    /// For [`Strategy::Hot`]: what is done if the running release cannot be upgraded in place.
    pub(super) otherwise: Option<Box<Self>>,
}

impl Slots {
    /// Chooses the slot and the port of the new release.
    ///
    /// # Errors
    /// If the project's PORT is not a port, or no port is free.
    pub(super) fn choose(paths: &ProjectPaths, dotenv: &Dotenv, strategy: Strategy, reason: String) -> Result<Self> {
        let wanted = wanted_port(paths, dotenv)?;
        let current = place(paths);
        let token = current.as_ref().and_then(|place| place.token.clone()).map_or_else(token, Ok)?;
        let free = |taken: u16| {
            free_port(taken)
                .with_context(|| format!("choose a port yourself with `gatling config set {} PORT=NUMBER`", paths.name))
        };
        let (slot, port, other) = match (strategy, current) {
            (Strategy::BlueGreen, Some(Place { slot, port, other_port, .. })) => {
                let wanted = wanted.filter(|wanted| *wanted != port);
                let is_usable = |other: &u16| is_free(*other) || is_own(paths, *other);
                let new = wanted.or(other_port.filter(is_usable)).map_or_else(|| free(port), Ok)?;
                (slot.other(), new, port)
            }
            (_, current) => {
                let current = current.unwrap_or_default();
                let port = wanted.or(Some(current.port).filter(|port| *port != 0)).map_or_else(|| free(0), Ok)?;
                let other = current.other_port.filter(|other| *other != port).map_or_else(|| free(port), Ok)?;
                (current.slot, port, other)
            }
        };
        let ports = SlotPorts { token, ..SlotPorts::default() }.with(slot, port).with(slot.other(), other);
        Ok(Self { strategy, reason, slot, ports, otherwise: None })
    }

    /// As [`Slots::choose`], with what is done if the running release cannot be upgraded in place.
    pub(super) fn choose_with_otherwise(
        paths: &ProjectPaths,
        dotenv: &Dotenv,
        settings: &ProjectSettings,
        (strategy, reason): (Strategy, String),
    ) -> Result<Self> {
        if strategy != Strategy::Hot {
            return Self::choose(paths, dotenv, strategy, reason);
        }
        let (switch, why) = choose_switch(paths, settings)?;
        let otherwise = Self::choose(paths, dotenv, switch, why)?;
        // nginx gets the same ports either way.
        let slot = place(paths).unwrap_or_default().slot;
        Ok(Self { strategy, reason, slot, ports: otherwise.ports.clone(), otherwise: Some(Box::new(otherwise)) })
    }

    /// Where a rollback has chosen to start the older release.
    pub(super) fn of_rollback(rollback: &RollbackFacts, settings: &ProjectSettings) -> Self {
        let Place { slot, port, other_port, token } = rollback.place.clone();
        let (strategy, reason) = match (rollback.is_beside, settings.strategy) {
            _ if rollback.otherwise.is_some() => (Strategy::Hot, SAYS_SO),
            (true, _) => (Strategy::BlueGreen, "nginx can switch between both releases"),
            (false, Some(Strategy::Restart)) => (Strategy::Restart, SAYS_SO),
            (false, _) => (Strategy::Restart, OUTAGE),
        };
        let ports = SlotPorts { token: token.unwrap_or_default(), ..SlotPorts::default() }.with(slot, port);
        let ports = other_port.map_or(ports.clone(), |other| ports.with(slot.other(), other));
        Self { strategy, reason: reason.to_owned(), slot, ports, otherwise: None }
    }

    /// The port of the new release.
    pub(super) fn port(&self) -> u16 {
        self.ports.of(self.slot)
    }
}

/// How the new release takes over from the one that serves, and why.
///
/// # Errors
/// If the project asks for a strategy that it cannot have, or its nginx.conf cannot be read.
pub(super) fn choose_strategy(
    paths: &ProjectPaths,
    settings: &ProjectSettings,
    pipeline: Pipeline,
    is_deployed: bool,
) -> Result<(Strategy, String)> {
    if pipeline != Pipeline::Upgrade || !is_deployed {
        return Ok((Strategy::Restart, "nothing serves yet".to_owned()));
    }
    if settings.strategy == Some(Strategy::Restart) {
        return Ok((Strategy::Restart, SAYS_SO.to_owned()));
    }
    // Nothing is lost by a restart then, and nginx cannot be tried with a release that does not serve.
    if matches!(serving::look(paths), Serving::Down { .. } | Serving::Unserved { .. }) {
        return Ok((Strategy::Restart, "visitors are not served now".to_owned()));
    }
    let is_unmarked = |running: Running| Environ::of(running.pid).is_none_or(|own| own.get("GATLING_PID").is_none());
    if serving::running(paths).is_some_and(is_unmarked) {
        return Ok((Strategy::Restart, "a much older version of gatling has started the app".to_owned()));
    }
    if settings.strategy == Some(Strategy::Hot) {
        return Ok((Strategy::Hot, SAYS_SO.to_owned()));
    }
    choose_switch(paths, settings)
}

/// How a release that is started takes over from the one that serves, and why.
fn choose_switch(paths: &ProjectPaths, settings: &ProjectSettings) -> Result<(Strategy, String)> {
    let obstacle = obstacle(paths, super::own_site(paths)?.is_some());
    match (obstacle, settings.strategy) {
        (None, Some(Strategy::BlueGreen)) => Ok((Strategy::BlueGreen, SAYS_SO.to_owned())),
        (None, _) => Ok((Strategy::BlueGreen, "nginx can switch between both releases".to_owned())),
        (Some(obstacle), Some(Strategy::BlueGreen)) => {
            bail!("gatling.toml says `strategy = \"blue-green\"`, but {obstacle}")
        }
        (Some(obstacle), _) => Ok((Strategy::Restart, obstacle.to_owned())),
    }
}

/// Why nginx cannot switch between two releases, if it cannot.
fn obstacle(paths: &ProjectPaths, has_own_site: bool) -> Option<&'static str> {
    if has_own_site {
        return Some("the project has its own nginx.conf, which names one port");
    }
    if paths.lib_dir().is_none() {
        return Some("GATLING_LIB_DIR is not set");
    }
    if installed_site(paths).link != Link::Correct {
        return Some("no site is enabled in nginx yet");
    }
    None
}

/// The port in the project's `.env`, if it sets one.
fn wanted_port(paths: &ProjectPaths, dotenv: &Dotenv) -> Result<Option<u16>> {
    let Some(port) = dotenv.get("PORT") else { return Ok(None) };
    let number = port.parse().ok().filter(|port| *port != 0);
    number.map(Some).with_context(|| {
        format!(
            "PORT is {port:?} in the project's .env: set a number from 1 to 65535, with `gatling config set {} PORT=4000`",
            paths.name
        )
    })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("0.0.0.0", port)).is_ok()
}

/// Whether a release of the project has this port. It is one that has been told to stop, and the next one waits for it.
fn is_own(paths: &ProjectPaths, port: u16) -> bool {
    serving::all_running(paths).iter().any(|running| serving::port(paths, &running.release) == Some(port))
}

/// A port other than `taken` that no program listens on. It is below the range that Linux uses for outgoing connections:
/// otherwise one of them could take it while the app restarts.
fn free_port(taken: u16) -> Result<u16> {
    const RANGE: std::ops::Range<u32> = 20_000..30_000;
    let start = u32::from_ne_bytes(random()?) % RANGE.len() as u32;
    (0..RANGE.len() as u32)
        .map(|offset| (RANGE.start + (start + offset) % RANGE.len() as u32) as u16)
        .find(|port| *port != taken && is_free(*port))
        .context("no port from 20000 to 29999 is free")
}

/// A word that nobody can guess.
fn token() -> Result<String> {
    Ok(random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut source = fs::File::open("/dev/urandom").context("cannot read /dev/urandom")?;
    source.read_exact(&mut bytes).context("cannot read /dev/urandom")?;
    Ok(bytes)
}
