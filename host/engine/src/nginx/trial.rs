//! Tests a site before it replaces the current one: nginx checks it together with all others, and a separate nginx
//! shows whether visitors would reach the app through it.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::visitor::{self, Outcome};
use crate::http;
use gatling_nginx::config::{self, Directive, Dump};
use gatling_nginx::servers::{self, Listen};
use gatling_nginx::{Endpoints, Transport};
use gatling_pipeline::action::SiteTrial;
use gatling_process::CommandError;

/// How long the trial's nginx may take to write its log.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);

/// Tests a site.
///
/// # Errors
/// If nginx rejects its current configuration or the one with the site, if another site has one of the host names, or
/// if visitors of one would not reach the app.
pub(crate) fn run(site: &SiteTrial, on_line: &mut dyn FnMut(&str)) -> Result<()> {
    Trial { site }.run(on_line)
}

struct Trial<'a> {
    site: &'a SiteTrial,
}

impl Trial<'_> {
    fn run(&self, on_line: &mut dyn FnMut(&str)) -> Result<()> {
        let output = match self.site.dump.capture() {
            Ok(output) => output,
            Err(error) => {
                let is_own = error.last_lines().iter().any(|line| line.contains(&self.site.link.display().to_string()));
                let what =
                    if is_own { "the installed site" } else { "its configuration, but not because of this site" };
                return Err(refusal(error, what));
            }
        };
        let mut dump = Dump::parse(&output)?;
        let staged = self.site.staged.display().to_string();
        let include = Directive::new(&["include", &format!("\"{staged}\"")]);
        if !dump.replace(&self.site.link, vec![include])? {
            bail!(
                "nginx does not include {}: add `include {}/*;` to the `http` block of its nginx.conf",
                self.site.link.display(),
                self.site.link.parent().unwrap_or(Path::new("/")).display()
            );
        }
        let mut all = dump.expand()?;
        if super::running(&all).is_none() {
            bail!("nginx is not running: start it, for example with `service nginx start`");
        }
        self.check_names(&all)?;
        self.check_ports()?;

        let guard = Placed { trial: self.site };
        // `include` reads the file with the new text; the dump only has the text of the old one.
        self.place(&config::text(&all))?;
        let mut check = self.site.nginx.clone();
        check.args.push("-t".to_owned());
        check.run(|lines| on_line(&lines.text)).map_err(|error| refusal(error, &format!("the site (in {staged})")))?;

        let folder = tempfile::tempdir().context("cannot make a temporary folder to test the site")?;
        isolate(&mut all, folder.path(), config::parse(&self.site.text, "nginx.conf")?);
        self.place(&config::text(&all))?;
        self.site.nginx.run(|lines| on_line(&lines.text)).context("cannot start nginx to test the site")?;
        let running = Running { trial: self.site };
        let result = self.visit(folder.path());
        drop(running);
        drop(guard);
        result
    }

    fn place(&self, text: &str) -> Result<()> {
        fs::write(&self.site.draft, text).with_context(|| format!("cannot write {}", self.site.draft.display()))?;
        Ok(self.site.place.run(|_| {})?)
    }

    fn check_names(&self, all: &[Directive]) -> Result<()> {
        let own = servers::servers(&config::parse(&self.site.text, "nginx.conf").unwrap_or_default());
        let others = servers::servers(all);
        match servers::conflict(&own, &others) {
            None => Ok(()),
            Some((name, file)) => bail!(
                "another site on this server already has the host name {name}: {file}. Remove it there or from this project"
            ),
        }
    }

    /// Fails if another program answers where the site would listen.
    fn check_ports(&self) -> Result<()> {
        let servers = servers::servers(&config::parse(&self.site.text, "nginx.conf").unwrap_or_default());
        let transports = self.site.hosts.iter().filter_map(|host| servers::endpoints(&servers, host).http);
        let addresses: HashSet<_> = transports
            .filter_map(|transport| match transport {
                Transport::Tcp(address) => Some(address),
                Transport::Unix(_) => None,
            })
            .collect();
        for address in addresses {
            // No answer means that nginx does not listen there yet.
            let Ok(Some(server)) = http::server(&address, &self.site.hosts[0]) else { continue };
            if !server.to_ascii_lowercase().contains("nginx") && !server.to_ascii_lowercase().contains("openresty") {
                bail!(
                    "another server ({server}) answers at {address}, where nginx should: stop it or move it to \
                     another port. `ss -ltnp` shows which program it is"
                );
            }
        }
        Ok(())
    }

    /// Requests the path on every host, and checks where nginx got the answers from.
    fn visit(&self, folder: &Path) -> Result<()> {
        let site = config::parse(&self.site.text, "nginx.conf")?;
        let servers = servers::servers(&site);
        // Servers that listen with TLS are also tested with TLS.
        let endpoints = |host: &str| {
            let real = servers::endpoints(&servers, host);
            Endpoints {
                http: real.http.map(|_| Transport::Unix(socket(folder, false))),
                https: real.https.map(|_| Transport::Unix(socket(folder, true))),
            }
        };
        if let Some(host) = self.site.hosts.iter().find(|host| endpoints(host) == Endpoints::default()) {
            bail!(
                "nginx.conf has no server for {host}: add it to a `server_name`, or remove it from the file `domains`"
            );
        }
        let visits = visitor::visit(&self.site.hosts, &self.site.path, endpoints, &self.site.headers)?;
        let requests = self.site.hosts.len();
        let passed = read_log(&folder.join("access.log"), requests);
        for (host, visit) in self.site.hosts.iter().zip(&visits) {
            let last = passed.iter().rev().find(|line| line.host == *host);
            let upstream = last.map_or("-", |line| line.upstream.as_str());
            let is_app = |address: &str| self.site.ports.iter().any(|port| address.ends_with(&format!(":{port}")));
            let reaches_app = upstream.split([' ', ',']).any(is_app);
            let url = &visit.url;
            match &visit.outcome {
                _ if reaches_app => {}
                Outcome::BadRedirect { to, why } => {
                    bail!("nginx.conf redirects {url} to {to}, where no server answers: {why}")
                }
                Outcome::NoAnswer(why) => bail!("with this site, nginx would not answer at {url}: {why}"),
                // It redirects to another host: that one is tested separately, or belongs to another site.
                Outcome::LeftSite(_) => {}
                Outcome::Answered(status) if upstream == "-" => {
                    // A host may only redirect to another one, which passes requests to the app.
                    if passed.iter().all(|line| line.upstream == "-") {
                        bail!(
                            "nginx.conf answers {url} itself with {status} and does not pass it to the app: set `path` \
                             under [health] in gatling.toml to a path that it passes to the app"
                        );
                    }
                }
                Outcome::Answered(_) => bail!(
                    "nginx.conf passes {url} to {upstream}, but the app listens on 127.0.0.1:{port}: write \
                     `proxy_pass http://127.0.0.1:{port};`, or set the port: gatling config set {project} PORT=NUMBER",
                    port = self.site.ports[0],
                    project = self.site.project
                ),
            }
        }
        Ok(())
    }
}

/// Removes the configuration of a trial when it is dropped.
struct Placed<'a> {
    trial: &'a SiteTrial,
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        _ = self.trial.remove.run(|_| {});
        _ = fs::remove_file(&self.trial.draft);
    }
}

/// Stops the nginx of a trial when it is dropped.
struct Running<'a> {
    trial: &'a SiteTrial,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut stop = self.trial.nginx.clone();
        stop.args.extend(["-s".to_owned(), "stop".to_owned()]);
        _ = stop.run(|_| {});
    }
}

/// An error with nginx's own message.
fn refusal(error: CommandError, what: &str) -> anyhow::Error {
    match error {
        CommandError::Failed { last_lines, .. } => {
            anyhow::anyhow!("nginx rejects {what}. Its output:\n    {}", last_lines.join("\n    "))
        }
        error => error.into(),
    }
}

fn socket(folder: &Path, ssl: bool) -> PathBuf {
    folder.join(if ssl { "https.sock" } else { "http.sock" })
}

/// Reduces the whole configuration to this site, with nothing that uses files or ports outside `folder`.
fn isolate(all: &mut Vec<Directive>, folder: &Path, mut site: Vec<Directive>) {
    let path = |name: &str| format!("\"{}\"", folder.join(name).display());
    let own = ["pid", "error_log", "daemon", "master_process", "worker_processes", "stream", "mail", "lock_file"];
    all.retain(|directive| !own.contains(&directive.name()));
    for (index, words) in [
        ["pid", &path("nginx.pid")],
        ["error_log", &path("error.log")],
        // A single process, which does not manage the caches of the real nginx.
        ["master_process", "off"],
        ["daemon", "on"],
    ]
    .iter()
    .enumerate()
    {
        all.insert(index, Directive::new(words));
    }
    for server in site.iter_mut().filter(|directive| directive.name() == "server") {
        prepare_server(server, folder, &path("access.log"));
    }
    for http in all.iter_mut().filter(|directive| directive.name() == "http") {
        let block = http.block.get_or_insert_default();
        block.retain(|directive| !["server", "access_log", "include"].contains(&directive.name()));
        let format = ["log_format", "gatling_trial", "'$status $host $upstream_addr'"];
        block.push(Directive::new(&format));
        block.append(&mut site);
    }
}

fn prepare_server(server: &mut Directive, folder: &Path, log: &str) {
    let Some(block) = &mut server.block else { return };
    let mut kinds: Vec<bool> = block
        .iter()
        .filter(|directive| directive.name() == "listen")
        .map(|listen| Listen::parse(&listen.arguments().collect::<Vec<_>>().join(" ")).ssl)
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.is_empty() {
        kinds.push(false);
    }
    remove(block, &["listen", "access_log", "error_log"]);
    for ssl in kinds {
        let address = format!("\"unix:{}\"", socket(folder, ssl).display());
        let mut words = vec!["listen", &address];
        words.extend(ssl.then_some("ssl"));
        block.insert(0, Directive::new(&words));
    }
    block.push(Directive::new(&["access_log", log, "gatling_trial"]));
}

/// Removes directives with these names, also inside blocks.
fn remove(block: &mut Vec<Directive>, names: &[&str]) {
    block.retain(|directive| !names.contains(&directive.name()));
    for directive in block {
        if let Some(block) = &mut directive.block {
            remove(block, names);
        }
    }
}

struct Passed {
    host: String,
    upstream: String,
}

/// Reads the log of the trial's nginx, and waits until it has at least `requests` lines: nginx writes the log after
/// it has answered.
fn read_log(path: &Path, requests: usize) -> Vec<Passed> {
    let deadline = Instant::now() + LOG_TIMEOUT;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter_map(|line| {
            let mut words = line.splitn(3, ' ').skip(1);
            Some(Passed { host: words.next()?.to_owned(), upstream: words.next()?.to_owned() })
        });
        let lines: Vec<_> = lines.collect();
        if lines.len() >= requests || Instant::now() >= deadline {
            return lines;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_has_only_the_new_site_and_uses_nothing_of_the_real_nginx() {
        let main = "user www-data; pid /run/nginx.pid; error_log /var/log/nginx/error.log; events { }
            stream { server { listen 53; } }
            http { access_log /var/log/nginx/access.log; gzip on; upstream app { server 127.0.0.1:1; }
              server { listen 80 default_server; server_name other; } }";
        let site =
            "server { listen 80; listen [::]:80; server_name a; location / { access_log /x; proxy_pass http://app; } }
            server { listen 443 ssl http2; server_name a; ssl_certificate c.pem; }";
        let mut all = config::parse(main, "nginx.conf").expect("it is one");
        isolate(&mut all, Path::new("/t"), config::parse(site, "site").expect("it is one"));
        let text = config::text(&all);
        for gone in ["/run", "/var/log", "stream {", "other", "listen 80", "listen 443", "access_log /x"] {
            assert!(!text.contains(gone), "{gone} is in:\n{text}");
        }
        for kept in
            ["user www-data;", "gzip on;", "upstream app", "\"unix:/t/http.sock\";", "\"unix:/t/https.sock\" ssl;"]
        {
            assert_eq!(text.matches(kept).count(), 1, "{kept} in:\n{text}");
        }
    }
}
