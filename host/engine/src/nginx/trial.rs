//! A site is tried before it replaces the one that serves: nginx checks it among all others, and an
//! nginx of its own shows whether visitors would come through it to the app.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::visitor::{self, Sight};
use crate::http;
use gatling_nginx::config::{self, Directive, Dump};
use gatling_nginx::servers::{self, Listen};
use gatling_nginx::{Door, Transport};
use gatling_pipeline::action::SiteTrial;
use gatling_process::CommandError;

/// How long the trial's nginx may take to write its log.
const LOG_PATIENCE: Duration = Duration::from_secs(2);

/// Tries a site.
///
/// # Errors
/// When nginx refuses its configuration as it is or with the site, when another site has one of
/// the host names, or when visitors of one would not come to the app.
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
                    if is_own { "the site that is in place" } else { "its configuration, though not for this site" };
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
            bail!("nginx is not running: start it, for instance with `service nginx start`");
        }
        self.check_names(&all)?;
        self.check_ports()?;

        let guard = Placed { trial: self.site };
        // The one that is included is the text to try, not the dump's own copy of an include.
        self.place(&config::text(&all))?;
        let mut check = self.site.nginx.clone();
        check.args.push("-t".to_owned());
        check.run(|lines| on_line(&lines.text)).map_err(|error| refusal(error, &format!("the site (in {staged})")))?;

        let folder = tempfile::tempdir().context("cannot make a folder for the trial of the site")?;
        isolate(&mut all, folder.path(), config::parse(&self.site.text, "nginx.conf")?);
        self.place(&config::text(&all))?;
        self.site.nginx.run(|lines| on_line(&lines.text)).context("cannot start nginx to try the site")?;
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
                "another site on this server has the host name {name} already: {file}. Remove it there, or from this project"
            ),
        }
    }

    /// Fails if another server answers where the site would listen.
    fn check_ports(&self) -> Result<()> {
        let servers = servers::servers(&config::parse(&self.site.text, "nginx.conf").unwrap_or_default());
        let doors = self.site.hosts.iter().filter_map(|host| servers::door(&servers, host).http);
        let addresses: HashSet<_> = doors
            .filter_map(|transport| match transport {
                Transport::Tcp(address) => Some(address),
                Transport::Unix(_) => None,
            })
            .collect();
        for address in addresses {
            // Nobody answers where nginx doesn't listen yet.
            let Ok(Some(server)) = http::server(&address, &self.site.hosts[0]) else { continue };
            if !server.to_ascii_lowercase().contains("nginx") && !server.to_ascii_lowercase().contains("openresty") {
                bail!(
                    "another server ({server}) answers at {address}, where nginx should: stop it, or move it to \
                     another port. `ss -ltnp` says which program it is"
                );
            }
        }
        Ok(())
    }

    /// Asks for the path on every host, and looks where nginx had the answer from.
    fn visit(&self, folder: &Path) -> Result<()> {
        let site = config::parse(&self.site.text, "nginx.conf")?;
        let servers = servers::servers(&site);
        // What listens for TLS is asked with TLS.
        let door = |host: &str| {
            let real = servers::door(&servers, host);
            Door {
                http: real.http.map(|_| Transport::Unix(socket(folder, false))),
                https: real.https.map(|_| Transport::Unix(socket(folder, true))),
            }
        };
        if let Some(host) = self.site.hosts.iter().find(|host| door(host) == Door::default()) {
            bail!(
                "nginx.conf has no server for {host}: add it to a `server_name`, or remove it from the file `domains`"
            );
        }
        let visits = visitor::visit(&self.site.hosts, &self.site.path, door, &[])?;
        let requests = self.site.hosts.len();
        let passed = read_log(&folder.join("access.log"), requests);
        for (host, visit) in self.site.hosts.iter().zip(&visits) {
            let last = passed.iter().rev().find(|line| line.host == *host);
            let upstream = last.map_or("-", |line| line.upstream.as_str());
            let reaches_app =
                upstream.split([' ', ',']).any(|address| address.ends_with(&format!(":{}", self.site.port)));
            let url = &visit.url;
            match &visit.sight {
                _ if reaches_app => {}
                Sight::Nowhere { to, why } => bail!("nginx.conf redirects {url} to {to}, where nobody answers: {why}"),
                Sight::Silence(why) => bail!("with this site, nginx would not answer at {url}: {why}"),
                // It was sent on, to a host that is looked at by itself or to somebody else's.
                Sight::Elsewhere(_) => {}
                Sight::Answer(status) if upstream == "-" => {
                    // A host may be there only to be redirected to another, which asks the app.
                    if passed.iter().all(|line| line.upstream == "-") {
                        bail!(
                            "nginx.conf answers {url} itself, with {status}, and does not ask the app: set `path` under \
                             [health] in gatling.toml to a path that it passes to the app"
                        );
                    }
                }
                Sight::Answer(_) => bail!(
                    "nginx.conf passes {url} to {upstream}, but the app listens on 127.0.0.1:{port}: write \
                     `proxy_pass http://127.0.0.1:{port};`, or set the port: gatling config set {project} PORT=NUMBER",
                    port = self.site.port,
                    project = self.site.project
                ),
            }
        }
        Ok(())
    }
}

/// Removes the configuration of a trial when it is over.
struct Placed<'a> {
    trial: &'a SiteTrial,
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        _ = self.trial.remove.run(|_| {});
        _ = fs::remove_file(&self.trial.draft);
    }
}

/// Ends the nginx of a trial.
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

/// nginx's own words.
fn refusal(error: CommandError, what: &str) -> anyhow::Error {
    match error {
        CommandError::Failed { last_lines, .. } => {
            anyhow::anyhow!("nginx refuses {what}. It says:\n    {}", last_lines.join("\n    "))
        }
        error => error.into(),
    }
}

fn socket(folder: &Path, ssl: bool) -> PathBuf {
    folder.join(if ssl { "https.sock" } else { "http.sock" })
}

/// Makes of the whole configuration one with this site alone, which touches nothing outside `folder`.
fn isolate(all: &mut Vec<Directive>, folder: &Path, mut site: Vec<Directive>) {
    let path = |name: &str| format!("\"{}\"", folder.join(name).display());
    let own = ["pid", "error_log", "daemon", "master_process", "worker_processes", "stream", "mail", "lock_file"];
    all.retain(|directive| !own.contains(&directive.name()));
    for (index, words) in [
        ["pid", &path("nginx.pid")],
        ["error_log", &path("error.log")],
        // One process, which looks after no cache of the real one.
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

/// Removes directives of these names, from blocks too.
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

/// Reads what the trial's nginx logged, of `requests` requests at least. It does so only after it has
/// answered.
fn read_log(path: &Path, requests: usize) -> Vec<Passed> {
    let deadline = Instant::now() + LOG_PATIENCE;
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
    fn a_trial_has_the_site_alone_and_touches_nothing_of_the_real_nginx() {
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
