//! What is asked of a release before it counts as serving.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::release;
use crate::http;
use crate::serving;
use gatling_config::roots::ProjectPaths;
use gatling_runs::Events;

/// What is asked of a release that is to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Serving {
    /// The project.
    #[serde(skip)]
    pub paths: ProjectPaths,
    /// The release.
    pub release: String,
    /// The app's port.
    pub port: u16,
    /// The app's Phoenix endpoints.
    #[serde(skip)]
    pub endpoints: Vec<String>,
    /// Host names that visitors use.
    #[serde(skip)]
    pub hosts: Vec<String>,
    /// The host names as the project lists them.
    #[serde(skip)]
    pub domains: Vec<String>,
}

impl Serving {
    /// Fails unless the release is the current one and its own process listens on the port. Warns
    /// if the app can be reached past nginx, or refuses WebSockets from one of the host names.
    pub(super) fn prove(&self, events: &Events) -> Result<()> {
        let current = self.paths.current_release().unwrap_or_default();
        if current != self.release {
            bail!(
                "the service says that it runs {}, but {} leads to {current}",
                self.release,
                self.paths.current_link().display()
            );
        }
        let pid = serving::pid(&self.paths).with_context(|| {
            format!(
                "the service says that it runs {}, but {} names no process of it",
                self.release,
                self.paths.pid_file().display()
            )
        })?;
        let listens = serving::listens(pid).context("cannot find out where the app listens")?;
        if !listens.iter().any(|address| address.port() == self.port) {
            bail!("{} runs, pid {pid}, but another process listens on its port {}", self.release, self.port);
        }
        self.warn_of_open_ports(&listens, events);
        self.warn_of_refused_sockets(events);
        Ok(())
    }

    fn warn_of_open_ports(&self, listens: &[SocketAddr], events: &Events) {
        for address in listens.iter().filter(|address| !address.ip().is_loopback()) {
            let everywhere = matches!(address.ip(), IpAddr::V4(ip) if ip.is_unspecified())
                || matches!(address.ip(), IpAddr::V6(ip) if ip.is_unspecified());
            let place = if everywhere { "all addresses of this server".to_owned() } else { address.ip().to_string() };
            events.warn(format!("the app listens on port {} of {place}: it can be reached past nginx", address.port()));
            if address.port() == self.port {
                let endpoint = self.endpoints.first().map_or("MyAppWeb.Endpoint", String::as_str);
                events.note(format!(
                    "  To have only nginx reach it, write in config/runtime.exs, in `config ..., {endpoint}`: \
                     http: [ip: {{127, 0, 0, 1}}, port: ...]"
                ));
            }
        }
    }

    /// Phoenix lets in a WebSocket only from a page of a host that it knows.
    fn warn_of_refused_sockets(&self, events: &Events) {
        if self.endpoints.is_empty() {
            return;
        }
        let address = format!("127.0.0.1:{}", self.port);
        let is_refused = |host: &&String| {
            let origin = format!("https://{host}");
            matches!(http::upgrade(&address, host, "/live/websocket?vsn=2.0.0", &origin), Ok(403))
        };
        let refused: Vec<_> = self.hosts.iter().filter(is_refused).map(String::as_str).collect();
        if !refused.is_empty() {
            let endpoint = &self.endpoints[0];
            events.warn(format!(
                "LiveView does not connect for visitors of {}: the app refuses their WebSocket",
                refused.join(", ")
            ));
            events.note(format!(
                "  Write in config/runtime.exs, in `config ..., {endpoint}`: check_origin: {}",
                release::origins(&self.domains)
            ));
        }
    }
}

impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "check that {} listens on port {}", self.release, self.port)
    }
}
