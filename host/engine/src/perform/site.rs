//! Installs an nginx site, checks that nginx uses it, and restores the previous site on failure.

use std::collections::HashSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use gatling_nginx::Transport;
use gatling_nginx::config::Dump;
use gatling_nginx::servers;
use gatling_pipeline::action::{SiteInUse, SiteInstallation, SiteProof, Visits};
use gatling_process::CommandError;
use gatling_runs::lock::Lock;
use gatling_runs::{Change, Event, Events};
use gatling_templates as templates;

use super::Performer;
use super::command::{check_rights, emit, report, run};
use super::files::{sync, write_file};
use crate::facts::Gathered;
use crate::http;
use crate::nginx::{self, trial, visitor};
use crate::run::interrupt::Interrupt;

/// How long nginx may take after a reload until it uses the new site.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long every answer must come from the new site. On a reload nginx starts new workers, and stops the old ones a
/// tenth of a second later: until then, either may answer.
const WORKER_OVERLAP: Duration = Duration::from_millis(300);

/// Tests a new site before anything is changed.
pub(super) fn check_beforehand(site: &SiteInstallation, performer: Performer<'_>) -> Result<()> {
    Installer::new(site, performer).check_beforehand()
}

/// Installs a site, and restores the previous one if nginx rejects it or visitors are not served.
pub(super) fn install(site: &SiteInstallation, performer: Performer<'_>) -> Result<()> {
    Installer::new(site, performer).install()
}

/// Fails unless visitors reach the app through the site that is in use.
pub(super) fn check_in_use(site: &SiteInUse, performer: Performer<'_>) -> Result<()> {
    match site {
        SiteInUse::None => Ok(()),
        SiteInUse::InPlace(visits) => check_visits(visits, false, performer.events),
        SiteInUse::Moved(site) => install(site, performer),
    }
}

/// Fails unless nginx uses the site now.
fn check_proof(proof: &SiteProof) -> Result<()> {
    match http::get(&proof.address, &proof.host, templates::PROOF_PATH)? {
        (200, body) if body.split(' ').next() == Some(&proof.answer) => Ok(()),
        (status, _) => bail!("it answers with the status {status}"),
    }
}

/// Fails unless visitors of every host are served. With `warn`, warns about untrusted certificates.
fn check_visits(visits: &Visits, warn: bool, events: &Events) -> Result<()> {
    let endpoints = |host: &str| servers::endpoints(&visits.servers, host);
    let visits = visitor::visit(&visits.hosts, &visits.path, endpoints, &visits.headers)?;
    let bad: Vec<_> = visits.iter().filter(|visit| !visit.was_served()).collect();
    let Some(first) = bad.first() else {
        let untrusted: Vec<_> = visits.iter().filter_map(|visit| visit.untrusted.as_deref()).collect();
        if !untrusted.is_empty() && warn {
            events.warn(format!(
                "this server does not trust the certificate of {}: browsers will warn visitors, unless they trust its \
                 issuer",
                untrusted.join(", ")
            ));
        }
        return Ok(());
    };
    let more = match bad.len() {
        1 => String::new(),
        number => format!(" (and {} more)", number - 1),
    };
    bail!("visitors are not served: {first}{more}{}", remedy(first))
}

/// What to do about a failed visit, as additional lines.
fn remedy(visit: &visitor::Visit) -> String {
    match &visit.outcome {
        visitor::Outcome::BadRedirect { to, .. } if to.starts_with("https:") && visit.url.starts_with("http:") => {
            "\n  The app redirects to HTTPS. Either add a certificate to the operator's file, under \
             [[nginx.certificates]], or, if another proxy serves HTTPS, set `behind_proxy = true` there under [nginx], or \
             remove `force_ssl: ...` from config/prod.exs"
                .to_owned()
        }
        _ => String::new(),
    }
}

struct Installer<'a> {
    site: &'a SiteInstallation,
    gathered: Option<&'a Gathered>,
    events: &'a Events,
    interrupt: Option<&'a Interrupt>,
}

impl<'a> Installer<'a> {
    fn new(site: &'a SiteInstallation, performer: Performer<'a>) -> Self {
        Self { site, gathered: performer.gathered, events: performer.events, interrupt: performer.interrupt }
    }

    /// Tests a new site before anything is changed: otherwise an error in it, or in nginx's current configuration,
    /// would only appear when the new release is running.
    ///
    /// # Errors
    /// If nginx would reject the site, or visitors would not reach the app through it.
    fn check_beforehand(&self) -> Result<()> {
        if self.site.unchanged && self.is_in_use() {
            return Ok(());
        }
        check_rights(self.gathered, &self.site.trial.dump)?;
        let _lock = self.lock_nginx()?;
        write_file(&self.site.staged, &self.site.contents, 0o644)?;
        let result = trial::run(&self.site.trial, &mut |line| self.events.debug(line));
        result.context("nginx does not accept the new site; nothing was changed")
    }

    /// Locks nginx's configuration: nginx checks all of it, including the sites of other projects.
    fn lock_nginx(&self) -> Result<Lock> {
        let waiting = |_: &str| self.events.note("waiting for nginx: another project is being configured");
        let keep_waiting = || self.interrupt.map_or(Ok(()), |interrupt| Ok(interrupt.check()?));
        Lock::take_while(&self.site.lock, waiting, keep_waiting)
    }

    fn install(&self) -> Result<()> {
        let old = fs::read_to_string(&self.site.path).ok();
        let was_enabled = fs::read_link(&self.site.link).is_ok_and(|target| target == self.site.path);
        if was_enabled && old.as_ref() == Some(&self.site.contents) && self.is_in_use() {
            check_visits(&self.site.visits, true, self.events)?;
            self.events.note(format!("nothing to do: nginx already uses {}", self.site.path.display()));
            return Ok(());
        }
        let _lock = self.lock_nginx()?;
        write_file(&self.site.staged, &self.site.contents, 0o644)?;
        if let Some(old) = &old {
            write_file(&self.site.backup, old, 0o644)?;
        }
        let disable = (!was_enabled).then_some(&self.site.disable);
        let restore =
            if old.is_some() { self.site.restore.as_slice() } else { std::slice::from_ref(&self.site.remove) };
        let undo: Vec<_> = disable.into_iter().chain(restore).chain([&self.site.reload]).cloned().collect();
        self.events.changing(Change::Site, self.site.path.display().to_string(), undo)?;
        let workers = self.workers();
        let Err(error) = self.activate(was_enabled).and_then(|()| self.wait_until_in_use(&workers)) else {
            self.events.changed(Change::Site);
            return Ok(());
        };
        if let Some(interrupt) = self.interrupt {
            // If the run was stopped, it ends once the site is restored.
            interrupt.take();
        }
        let restored = disable.into_iter().chain(restore).try_for_each(|command| run(command, self.events));
        self.events.emit(Event::Undone { change: Change::Site, ok: restored.is_ok() });
        // If nginx rejected the new site, it still uses the previous one; otherwise it must be reloaded again. The
        // first error is reported, not that of this reload.
        _ = self.site.reload.run(|lines| self.events.debug(&lines.text));
        let outcome = match (&restored, &old) {
            (Ok(()), Some(_)) => format!("the previous {} was restored", self.site.path.display()),
            (Ok(()), None) => format!("{} was removed again", self.site.path.display()),
            (Err(error), _) => format!("the previous {} could not be restored: {error:#}", self.site.path.display()),
        };
        Err(error).context(outcome)
    }

    /// Installs the site and reloads nginx.
    fn activate(&self, was_enabled: bool) -> Result<()> {
        run(&self.site.copy, self.events)?;
        sync(&self.site.draft)?;
        for command in &self.site.place {
            run(command, self.events)?;
        }
        if !was_enabled {
            run(&self.site.enable, self.events)?;
        }
        for file in [&self.site.path, &self.site.link] {
            file.parent().map_or(Ok(()), sync)?;
        }
        for command in [&self.site.test, &self.site.reload] {
            report(command, || command.run(emit(self.events)), self.events).map_err(|error| self.explain(error))?;
        }
        Ok(())
    }

    /// The process ids of nginx's workers. A reload starts new ones.
    fn workers(&self) -> HashSet<String> {
        let master = || nginx::running(&Dump::parse(&self.site.dump.capture().ok()?).ok()?.expand().ok()?);
        let Some(master) = master() else { return HashSet::new() };
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }

    /// A quick check whether nginx uses the site that is installed.
    fn is_in_use(&self) -> bool {
        let answers = |host: &String| match servers::endpoints(&self.site.visits.servers, host).http {
            Some(Transport::Tcp(address)) => std::net::TcpStream::connect(address).is_ok(),
            _ => true,
        };
        match &self.site.proof {
            Some(proof) => check_proof(proof).is_ok(),
            None => self.site.visits.hosts.iter().take(1).all(answers),
        }
    }

    /// Waits until nginx uses the site: a reload takes a moment, and nginx reports its errors only in its error log.
    fn wait_until_in_use(&self, old_workers: &HashSet<String>) -> Result<()> {
        let uses_it = || match &self.site.proof {
            Some(proof) => check_proof(proof)
                .map_err(|error| format!("still does not serve {} at {}: {error:#}", proof.host, proof.address)),
            None if self.workers().difference(old_workers).next().is_some() => Ok(()),
            None => Err("still uses its old configuration".to_owned()),
        };
        let deadline = Instant::now() + RELOAD_TIMEOUT;
        let mut used_since = None;
        loop {
            match uses_it() {
                Ok(()) => {
                    if used_since.get_or_insert_with(Instant::now).elapsed() >= WORKER_OVERLAP {
                        return check_visits(&self.site.visits, true, self.events);
                    }
                    thread::sleep(Duration::from_millis(10));
                }
                Err(_) if Instant::now() < deadline => {
                    used_since = None;
                    thread::sleep(Duration::from_millis(10));
                }
                Err(problem) => {
                    bail!(
                        "nginx was reloaded for the site {}, but after {} s it {problem}. Its error log says why; another \
                         program may use the port: check with `ss -ltnp`",
                        self.site.path.display(),
                        RELOAD_TIMEOUT.as_secs()
                    )
                }
            }
        }
    }

    /// nginx's own message, and what to do about it.
    fn explain(&self, error: CommandError) -> anyhow::Error {
        let CommandError::Failed { command, last_lines, .. } = &error else { return error.into() };
        let said = last_lines.join("\n    ");
        if *command == self.site.reload.to_string() {
            anyhow!(
                "nginx could not be reloaded; is it running? Start it, for example with `service nginx start`. Its output:\n    {said}"
            )
        } else {
            let mine = said.contains(&self.site.path.display().to_string())
                || said.contains(&format!("/{}:", self.site.name()));
            let what = if mine {
                format!("the site {}", self.site.path.display())
            } else {
                "its configuration, but not because of this site".to_owned()
            };
            anyhow!("nginx rejects {what}. Its output:\n    {said}")
        }
    }
}
