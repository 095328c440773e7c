//! Checks whether a release serves.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use gatling_pipeline::action::ReleaseProof;
use gatling_pipeline::origins;
use gatling_runs::Events;

use crate::serving::Running;
use crate::{AppLog, http, serving};

/// Fails unless the release's own process listens on the port. Warns if visitors can reach
/// the app without nginx, or if it refuses WebSockets for one of the host names.
pub(super) fn check(proof: &ReleaseProof, events: &Events) -> Result<()> {
    let current = proof.paths.current_release().unwrap_or_default();
    if proof.is_current && current != proof.release {
        bail!(
            "the init script says that {} is running, but {} points to {current}",
            proof.release,
            proof.paths.current_link().display()
        );
    }
    let Some(Running { pid, .. }) = serving::process_of(&proof.paths, &proof.release) else {
        bail!(
            "the init script says that {} is running, but its process is gone: see {}",
            proof.release,
            AppLog::of(&proof.paths, serving::slot(&proof.paths, &proof.release))
        );
    };
    let listens = serving::listens(pid).context("cannot determine where the app listens")?;
    if !listens.iter().any(|address| address.port() == proof.port) {
        bail!(
            "{} runs (process {pid}), but it does not listen on its port {port}. See which program does: ss -ltnp 'sport = :{port}'",
            proof.release,
            port = proof.port
        );
    }
    warn_of_open_ports(proof, &listens, events);
    warn_of_refused_sockets(proof, events);
    Ok(())
}

fn warn_of_open_ports(proof: &ReleaseProof, listens: &[SocketAddr], events: &Events) {
    for address in listens.iter().filter(|address| !address.ip().is_loopback()) {
        let everywhere = matches!(address.ip(), IpAddr::V4(ip) if ip.is_unspecified())
            || matches!(address.ip(), IpAddr::V6(ip) if ip.is_unspecified());
        let place = if everywhere { "all addresses of this server".to_owned() } else { address.ip().to_string() };
        events.warn(format!(
            "the app listens on port {} of {place}: visitors can reach it without nginx",
            address.port()
        ));
        if address.port() == proof.port {
            let endpoint = proof.endpoints.first().map_or("MyAppWeb.Endpoint", String::as_str);
            events.note(format!(
                "  To let only nginx reach it, add to `config ..., {endpoint}` in config/runtime.exs: \
                 http: [ip: {{127, 0, 0, 1}}, port: ...]"
            ));
        }
    }
}

/// Phoenix accepts a WebSocket only from a page of a host that it knows.
fn warn_of_refused_sockets(proof: &ReleaseProof, events: &Events) {
    if proof.endpoints.is_empty() {
        return;
    }
    let address = format!("127.0.0.1:{}", proof.port);
    let is_refused = |host: &&String| {
        let origin = format!("https://{host}");
        matches!(http::upgrade(&address, host, "/live/websocket?vsn=2.0.0", &origin), Ok(403))
    };
    let refused: Vec<_> = proof.hosts.iter().filter(is_refused).map(String::as_str).collect();
    if !refused.is_empty() {
        let endpoint = &proof.endpoints[0];
        events.warn(format!(
            "LiveView cannot connect for visitors of {}: the app refuses their WebSocket",
            refused.join(", ")
        ));
        events.note(format!(
            "  Add to `config ..., {endpoint}` in config/runtime.exs: check_origin: {}",
            origins(&proof.domains)
        ));
    }
}
