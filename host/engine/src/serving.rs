//! Determines which release serves, from the app's process and the addresses where it listens.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::{fs, io};

use anyhow::{Context as _, Result};
use gatling_runs::Serving;

use crate::nginx::visitor::{self, Visit};
use crate::release::service_command;
use crate::{http, maintenance};
use gatling_config::domains;
use gatling_config::dotenv::Dotenv;
use gatling_config::paths::ProjectPaths;
use gatling_config::settings::OperatorSettings;
use gatling_config::slot::Slot;
use gatling_nginx::servers::{self, Server};
use gatling_nginx::{Transport, config};
use gatling_process::{Environ, descendants};
use gatling_templates::{PROOF_PATH, SLOT_HEADER};
use rustix::process::Pid;

/// The process of an app, and the release that it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its process id.
    pub pid: u32,
    /// Its release.
    pub release: String,
    /// The release that it was started as: another one if it was upgraded in place.
    pub started_as: String,
}

/// The project's releases that run. The init script has marked their processes in their environment, so that a pid file
/// that is empty, outdated or of another program does no harm.
#[must_use]
pub fn all_running(paths: &ProjectPaths) -> Vec<Running> {
    let marker = format!("GATLING_DEPLOY_DIR={}", paths.deploy_dir().display());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let apps = pids.filter_map(|pid| Environ::of(pid).filter(|own| own.contains(&marker)).map(|own| (pid, own)));
    let is_main = |(pid, environment): &(u32, Environ)| environment.get("GATLING_PID") == Some(&pid.to_string());
    let mut main: Vec<_> = apps.filter(is_main).collect();
    if main.is_empty() {
        // Older versions of Gatling started releases without GATLING_PID.
        let pid = || fs::read_to_string(paths.pid_file()).ok()?.trim().parse().ok();
        let app = pid().and_then(|pid| Some((pid, Environ::of(pid).filter(|own| own.contains(&marker))?)));
        main.extend(app);
    }
    let release = |environment: &Environ| {
        // The release's own script sets RELEASE_ROOT, to DEPLOY_DIR/releases/RELEASE/PROJECT.
        let by_root = || Path::new(environment.get("RELEASE_ROOT")?).parent()?.file_name()?.to_str();
        environment.get("GATLING_RELEASE").or_else(by_root).map(str::to_owned).or_else(|| paths.current_release())
    };
    let running = |(pid, environment): &(u32, Environ)| {
        let started_as = release(environment)?;
        let release = upgraded_to(paths, *pid).unwrap_or_else(|| started_as.clone());
        Some(Running { pid: *pid, release, started_as })
    };
    main.iter().filter_map(running).collect()
}

/// The release that a process was upgraded to in place: it keeps the file `in-place` of that release open.
fn upgraded_to(paths: &ProjectPaths, pid: u32) -> Option<String> {
    let releases = paths.releases_dir().canonicalize().ok()?;
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut files = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let file = files.find(|file| file.ends_with("in-place") && file.starts_with(&releases))?;
    let release = file.parent().filter(|folder| folder.parent() == Some(&releases))?;
    Some(release.file_name()?.to_str()?.to_owned())
}

/// The release that nginx passes visitors to, if it runs; otherwise any other one that runs.
#[must_use]
pub fn running(paths: &ProjectPaths) -> Option<Running> {
    let live = paths.live_slot();
    let mut all = all_running(paths);
    let index = all.iter().position(|running| slot(paths, &running.release) == live).unwrap_or(0);
    (!all.is_empty()).then(|| all.swap_remove(index))
}

/// The process of a release, if it runs.
#[must_use]
pub fn process_of(paths: &ProjectPaths, release: &str) -> Option<Running> {
    all_running(paths).into_iter().find(|running| running.release == release)
}

/// The slot of a release.
#[must_use]
pub fn slot(paths: &ProjectPaths, release: &str) -> Slot {
    Slot::named(settings(paths, release).get("GATLING_SLOT"))
}

/// The port of a release.
#[must_use]
pub fn port(paths: &ProjectPaths, release: &str) -> Option<u16> {
    settings(paths, release).get("GATLING_PORT")?.parse().ok()
}

/// What serves now.
#[must_use]
pub fn look(paths: &ProjectPaths) -> Serving {
    let Some(current) = paths.current_release().filter(|_| paths.is_deployed()) else {
        return Serving::NotDeployed;
    };
    // The process is checked first: another program could answer on the port.
    let Some(Running { release, .. }) = running(paths).filter(|running| listens_on_its_port(paths, running)) else {
        let start = service_command(paths, "restart");
        return Serving::Down { release: current, start };
    };
    match unserved(paths) {
        Ok(None) => Serving::Serving { release },
        Ok(Some(visit)) => Serving::Unserved { release, why: visit.to_string() },
        Err(error) => Serving::Unknown { release, why: format!("{error:#}") },
    }
}

/// Whether a release of this commit serves now.
#[must_use]
pub fn serves_commit(paths: &ProjectPaths, commit: &str) -> bool {
    matches!(look(paths), Serving::Serving { release } if settings(paths, &release).get("GATLING_COMMIT") == Some(commit))
}

/// The settings that the init script reads from a release's folder. Empty if there is no such release.
#[must_use]
pub fn settings(paths: &ProjectPaths, release: &str) -> Dotenv {
    Dotenv::read(&paths.releases_dir().join(release).join("service.env")).unwrap_or_default()
}

/// Whether the process listens on the port in its release's settings.
#[must_use]
pub fn listens_on_its_port(paths: &ProjectPaths, running: &Running) -> bool {
    let port = port(paths, &running.release);
    listens(running.pid).is_ok_and(|all| all.iter().any(|address| Some(address.port()) == port))
}

/// The host names of the installed site.
#[must_use]
pub fn hosts(paths: &ProjectPaths) -> Vec<String> {
    let site = fs::read_to_string(paths.nginx_enabled()).unwrap_or_default();
    servers::plain_names(&servers::servers(&config::parse(&site, "the site").unwrap_or_default()))
}

/// A visit to the first host name of the installed site whose visitors are not served; none if all are served, or no
/// site is installed.
///
/// # Errors
/// If a file cannot be read, or curl cannot be run.
pub fn unserved(paths: &ProjectPaths) -> Result<Option<Visit>> {
    unserved_by(paths, &paths.current_release().unwrap_or_default(), false)
}

/// As [`unserved`], of visitors who get to this release. If it is not live, nginx is asked for its slot.
///
/// # Errors
/// As [`unserved`].
pub(crate) fn unserved_by(paths: &ProjectPaths, release: &str, ask_for_slot: bool) -> Result<Option<Visit>> {
    let Some(servers) = site_servers(paths)? else { return Ok(None) };
    let settings = settings(paths, release);
    let path = settings.get("GATLING_HEALTH_PATH").unwrap_or("/");
    let behind_proxy = OperatorSettings::read(&paths.roots.config)?.nginx.behind_proxy;
    let mut headers: Vec<_> = behind_proxy.then(|| "X-Forwarded-Proto: https".to_owned()).into_iter().collect();
    if ask_for_slot {
        headers.push(slot_header(&settings));
    } else if maintenance::is_on(paths) {
        headers.push(format!("{SLOT_HEADER}: {}", settings.get("GATLING_TOKEN").unwrap_or_default()));
    }
    let hosts = names(&servers);
    let visits = visitor::visit(&hosts, path, |host| servers::endpoints(&servers, host), &headers)?;
    Ok(visits.into_iter().find(|visit| !visit.was_served()))
}

/// The port to which nginx passes visitors, if the installed site says it: those who get to this release if nginx is asked
/// for its slot.
///
/// # Errors
/// If the site cannot be read, or nginx does not answer.
pub(crate) fn port_of_nginx(paths: &ProjectPaths, release: &str, ask_for_slot: bool) -> Result<Option<u16>> {
    ask_for_port(paths, ask_for_slot.then(|| slot_header(&settings(paths, release))))
}

/// The port to which nginx passes those who ask for this slot with this token.
///
/// # Errors
/// As [`port_of_nginx`].
pub(crate) fn port_of_slot(paths: &ProjectPaths, token: &str, slot: Slot) -> Result<Option<u16>> {
    ask_for_port(paths, Some(format!("{SLOT_HEADER}: {token}-{slot}")))
}

fn ask_for_port(paths: &ProjectPaths, header: Option<String>) -> Result<Option<u16>> {
    let Some((address, host)) = plain_place(paths)? else { return Ok(None) };
    let (_, answer) = http::get_with(&address, &host, PROOF_PATH, header.as_deref())
        .with_context(|| format!("nginx does not answer at {address}: is it running? See: service nginx status"))?;
    Ok(answer.rsplit(' ').next().and_then(|port| port.trim().parse().ok()))
}

/// The status that a visitor gets from nginx at the first host name that is served without TLS; none if there is none.
///
/// # Errors
/// If the site cannot be read, or nginx does not answer.
pub(crate) fn visitor_status(paths: &ProjectPaths) -> Result<Option<u16>> {
    let Some((address, host)) = plain_place(paths)? else { return Ok(None) };
    Ok(Some(http::get(&address, &host, "/")?.0))
}

/// The header that asks nginx for the slot of the release with these settings.
fn slot_header(settings: &Dotenv) -> String {
    let (token, slot) = (settings.get("GATLING_TOKEN").unwrap_or_default(), Slot::named(settings.get("GATLING_SLOT")));
    format!("{SLOT_HEADER}: {token}-{slot}")
}

/// The first host name of the installed site that is served without TLS, and where.
fn plain_place(paths: &ProjectPaths) -> Result<Option<(String, String)>> {
    let Some(servers) = site_servers(paths)? else { return Ok(None) };
    let mut hosts = names(&servers).into_iter();
    Ok(hosts.find_map(|host| match servers::endpoints(&servers, &host).http {
        Some(Transport::Tcp(address)) => Some((address, host)),
        _ => None,
    }))
}

/// A host name for each name of the site: for a wildcard, one that it matches.
fn names(servers: &[Server]) -> Vec<String> {
    let is_known =
        |name: &&String| !name.is_empty() && *name != "_" && !name.starts_with(['~', '$']) && !name.ends_with('*');
    let mut names = Vec::new();
    for name in servers.iter().flat_map(|server| &server.names).filter(is_known) {
        let name = domains::example(name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The servers of the installed site, if there is one.
fn site_servers(paths: &ProjectPaths) -> Result<Option<Vec<Server>>> {
    let Ok(site) = fs::read_to_string(paths.nginx_enabled()) else { return Ok(None) };
    Ok(Some(servers::servers(&config::parse(&site, "the site")?)))
}

/// The addresses where a process and its descendants listen for TCP connections.
///
/// # Errors
/// If the kernel's tables cannot be read.
pub fn listens(pid: u32) -> io::Result<Vec<SocketAddr>> {
    let mut inodes = HashSet::new();
    inodes.extend(sockets(pid));
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw);
    for (descendant, _) in process.map(descendants).unwrap_or_default() {
        inodes.extend(sockets(descendant.as_raw_pid().unsigned_abs()));
    }
    let mut addresses = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = match fs::read_to_string(table) {
            Ok(text) => text,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let listening = text.lines().filter_map(listening);
        addresses.extend(listening.filter(|(inode, _)| inodes.contains(inode)).map(|(_, address)| address));
    }
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// The inodes of the sockets that a process has open.
fn sockets(pid: u32) -> Vec<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |path: &Path| path.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    entries.filter_map(|entry| inode(&fs::read_link(entry.path()).ok()?)).collect()
}

/// The inode and the address of a listening socket, from a line of `/proc/net/tcp`: see proc(5).
fn listening(line: &str) -> Option<(u64, SocketAddr)> {
    const LISTEN: &str = "0A";
    let fields: Vec<_> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    if *state != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Each group of eight digits is four bytes in the machine's byte order.
    let words: Option<Vec<u32>> =
        (0..ip.len() / 8).map(|n| u32::from_str_radix(&ip[n * 8..n * 8 + 8], 16).ok()).collect();
    let bytes: Vec<u8> = words?.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let ip = match bytes.as_slice() {
        bytes if bytes.len() == 4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        bytes => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical(),
    };
    Some((inode.parse().ok()?, SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_listening_addresses_of_a_process_are_found() {
        let loopback = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let open = TcpListener::bind("0.0.0.0:0").expect("a port is free");
        let ipv6 = TcpListener::bind("[::]:0").ok();
        let found = listens(std::process::id()).expect("the tables can be read");
        for listener in [Some(loopback), Some(open), ipv6].into_iter().flatten() {
            let address = listener.local_addr().expect("it has one");
            assert!(found.contains(&address), "{address} is not among {found:?}");
        }
    }
}
