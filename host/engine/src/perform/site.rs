//! Putting a site of nginx in place, proving that it is in use, and putting back what was there.

use std::collections::HashSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use gatling_nginx::Transport;
use gatling_nginx::config::Dump;
use gatling_nginx::servers;
use gatling_pipeline::Action;
use gatling_pipeline::action::{SiteInUse, SiteInstallation, SiteProof, Visits};
use gatling_process::CommandError;
use gatling_runs::lock::Lock;
use gatling_runs::{Change, Event, Events};
use gatling_templates as templates;

use super::command::{emit, follow, run};
use super::files::write_file;
use crate::http;
use crate::nginx::{self, trial, visitor};

/// How long nginx may take until it uses a site that it was told to use.
const SETTLING: Duration = Duration::from_secs(10);

/// How long every answer has to come from the new site. On a reload nginx starts new workers, and
/// tells the old ones to stop a tenth of a second later: until then either kind may answer.
const OVERLAP: Duration = Duration::from_millis(300);

/// Tries a site before anything is done, if it is a new one.
pub(super) fn check_beforehand(site: &SiteInstallation, events: &Events) -> Result<()> {
    Installer { site, events }.check_beforehand()
}

/// Puts a site in place, and puts back what was there if nginx refuses it or visitors are not served.
pub(super) fn install(site: &SiteInstallation, events: &Events) -> Result<()> {
    Installer { site, events }.install()
}

/// Fails unless visitors come through the site that is in use to the app.
pub(super) fn prove_in_use(site: &SiteInUse, events: &Events) -> Result<()> {
    match site {
        SiteInUse::None => Ok(()),
        SiteInUse::InPlace(visits) => prove_visits(visits, false, events),
        SiteInUse::Moved(site) => install(site, events),
    }
}

/// Fails unless nginx uses the site at this moment.
fn holds(proof: &SiteProof) -> Result<()> {
    match http::get(&proof.address, &proof.host, templates::PROOF_PATH)? {
        (200, body) if body == proof.answer => Ok(()),
        (status, _) => bail!("it answers with the status {status}"),
    }
}

/// Fails unless visitors of every host are served. `warns` of certificates that aren't trusted.
fn prove_visits(visits: &Visits, warns: bool, events: &Events) -> Result<()> {
    let door = |host: &str| servers::door(&visits.servers, host);
    let visits = visitor::visit(&visits.hosts, &visits.path, door, &visits.headers)?;
    let bad: Vec<_> = visits.iter().filter(|visit| !visit.went_well()).collect();
    let Some(first) = bad.first() else {
        let untrusted: Vec<_> = visits.iter().filter_map(|visit| visit.untrusted.as_deref()).collect();
        if !untrusted.is_empty() && warns {
            events.warn(format!(
                "this server does not trust the certificate of {}: browsers warn their users of it, unless \
                 they know who signed it",
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

/// What to do about what visitors see, as further lines.
fn remedy(visit: &visitor::Visit) -> String {
    match &visit.sight {
        visitor::Sight::Nowhere { to, .. } if to.starts_with("https:") && visit.url.starts_with("http:") => {
            "\n  The app redirects to HTTPS. Either name a certificate in the operator's file, under \
             [[nginx.certificates]], or say there that another proxy serves HTTPS, with `behind_proxy = true` under \
             [nginx], or remove `force_ssl: ...` from config/prod.exs"
                .to_owned()
        }
        _ => String::new(),
    }
}

struct Installer<'a> {
    site: &'a SiteInstallation,
    events: &'a Events,
}

impl Installer<'_> {
    /// Tries the site, if it is a new one, before anything is done: what is wrong with it, or with nginx's
    /// configuration as it is, would otherwise show only when the new release is up.
    ///
    /// # Errors
    /// When nginx would not take the site, or visitors would not come through it to the app.
    fn check_beforehand(&self) -> Result<()> {
        if self.site.unchanged && self.is_in_use() {
            return Ok(());
        }
        let _alone = self.lock_nginx()?;
        write_file(&self.site.staged, &self.site.contents, 0o644)?;
        let tried = trial::run(&self.site.trial, &mut |line| self.events.debug(line));
        tried.context("nginx would not take the new site; nothing was changed")
    }

    /// nginx checks all of its configuration, so that the sites of other projects play a part.
    fn lock_nginx(&self) -> Result<Lock> {
        Lock::take(&self.site.lock, |_| self.events.note("waiting for nginx: another project is being configured"))
    }

    fn install(&self) -> Result<()> {
        let old = fs::read_to_string(&self.site.path).ok();
        let was_enabled = fs::read_link(&self.site.link).is_ok_and(|target| target == self.site.path);
        if was_enabled && old.as_ref() == Some(&self.site.contents) && self.is_in_use() {
            prove_visits(&self.site.visits, true, self.events)?;
            self.events.note(format!("nothing to do: nginx serves {} as it is", self.site.path.display()));
            return Ok(());
        }
        let _alone = self.lock_nginx()?;
        write_file(&self.site.staged, &self.site.contents, 0o644)?;
        if let Some(old) = &old {
            write_file(&self.site.kept, old, 0o644)?;
        }
        let switch_off = (!was_enabled).then_some(&self.site.switch_off);
        let restore = if old.is_some() { &self.site.put_back } else { &self.site.remove };
        let undo: Vec<_> =
            switch_off.into_iter().chain([restore, &self.site.reload]).cloned().map(Action::Run).collect();
        self.events.changing(Change::Site, self.site.path.display().to_string(), serde_json::to_value(undo).ok())?;
        let workers = self.workers();
        let Err(error) = self.bring_into_use().and_then(|()| self.prove(&workers)) else {
            self.events.changed(Change::Site);
            return Ok(());
        };
        let put_back = switch_off.into_iter().chain([restore]).try_for_each(|command| run(command, self.events));
        self.events.emit(Event::Undone { change: Change::Site, ok: put_back.is_ok() });
        // Where nginx refused the site it still uses what was there; where it was told to use
        // the site already, it has to be told again. The first failure is the one that counts.
        _ = self.site.reload.run(|lines| self.events.debug(&lines.text));
        let outcome = match (&put_back, &old) {
            (Ok(()), Some(_)) => format!("{} was put back as it was", self.site.path.display()),
            (Ok(()), None) => format!("{} was removed again", self.site.path.display()),
            (Err(error), _) => format!("and {} could not be put back: {error:#}", self.site.path.display()),
        };
        Err(error).context(outcome)
    }

    fn bring_into_use(&self) -> Result<()> {
        for command in &self.site.place {
            run(command, self.events)?;
        }
        for command in [&self.site.test, &self.site.reload] {
            follow(command, || command.run(emit(self.events)), self.events).map_err(|error| self.explain(error))?;
        }
        Ok(())
    }

    /// nginx's workers: those of another configuration are others.
    fn workers(&self) -> HashSet<String> {
        let master = || nginx::running(&Dump::parse(&self.site.dump.capture().ok()?).ok()?.expand().ok()?);
        let Some(master) = master() else { return HashSet::new() };
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }

    /// Whether nginx uses the site, which is in place, as far as that can be seen at a glance.
    fn is_in_use(&self) -> bool {
        let answers = |host: &String| match servers::door(&self.site.visits.servers, host).http {
            Some(Transport::Tcp(address)) => std::net::TcpStream::connect(address).is_ok(),
            _ => true,
        };
        match &self.site.proof {
            Some(proof) => holds(proof).is_ok(),
            None => self.site.visits.hosts.iter().take(1).all(answers),
        }
    }

    /// Waits until nginx uses the site: it does so in its own time, and where it can't, says so
    /// only in its error log.
    fn prove(&self, old_workers: &HashSet<String>) -> Result<()> {
        let uses_it = || match &self.site.proof {
            Some(proof) => {
                holds(proof).map_err(|error| format!("does not serve {} at {}: {error:#}", proof.host, proof.address))
            }
            None if self.workers().difference(old_workers).next().is_some() => Ok(()),
            None => Err("goes on with its old configuration".to_owned()),
        };
        let deadline = Instant::now() + SETTLING;
        let mut proved_since = None;
        loop {
            match uses_it() {
                Ok(()) => {
                    if proved_since.get_or_insert_with(Instant::now).elapsed() >= OVERLAP {
                        return prove_visits(&self.site.visits, true, self.events);
                    }
                    thread::sleep(Duration::from_millis(10));
                }
                Err(_) if Instant::now() < deadline => {
                    proved_since = None;
                    thread::sleep(Duration::from_millis(10));
                }
                Err(found) => {
                    bail!(
                        "nginx was told to use the site {}, and after {} s it {found}. Its error log says why; another \
                         program may have the port: see `ss -ltnp`",
                        self.site.path.display(),
                        SETTLING.as_secs()
                    )
                }
            }
        }
    }

    /// nginx's own words, and what to do about them.
    fn explain(&self, error: CommandError) -> anyhow::Error {
        let CommandError::Failed { command, last_lines, .. } = &error else { return error.into() };
        let said = last_lines.join("\n    ");
        if *command == self.site.reload.to_string() {
            anyhow!(
                "nginx could not be told to use the new site; is it running? Start it, for instance with `service nginx start`. It says:\n    {said}"
            )
        } else {
            let mine = said.contains(&self.site.path.display().to_string())
                || said.contains(&format!("/{}:", self.site.name()));
            let what = if mine {
                format!("the site {}", self.site.path.display())
            } else {
                "its configuration, though not for this site".to_owned()
            };
            anyhow!("nginx refuses {what}. It says:\n    {said}")
        }
    }
}
