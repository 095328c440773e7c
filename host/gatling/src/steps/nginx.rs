//! The steps that tell nginx about the project.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::{Action, emit, follow, run, system, write_file};
use crate::env::Env;
use crate::env::server::{Link, SiteInPlace};
use crate::http;
use crate::nginx;
use crate::nginx::trial::Trial;
use crate::nginx::visitor;
use gatling_nginx::config::{Dump, parse};
use gatling_nginx::servers::{self, Server};
use gatling_nginx::{Door, Transport};
use gatling_process::{Command, CommandError};
use gatling_runs::lock::Lock;
use gatling_runs::{Change, Event, Events};
use gatling_templates as templates;

/// A site, and the commands that put it in place and take it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Site {
    /// The site's file.
    pub path: PathBuf,
    /// Where its text is written first.
    #[serde(skip)]
    staged: PathBuf,
    #[serde(skip)]
    contents: String,
    /// Whether just this site is in place already.
    pub unchanged: bool,
    /// The link that switches it on.
    #[serde(skip)]
    link: PathBuf,
    /// nginx checks all of its configuration, so that the sites of other projects play a part.
    #[serde(skip)]
    lock: PathBuf,
    /// Where the text that it replaces is kept, if there is one.
    #[serde(skip)]
    kept: PathBuf,
    /// How it is tried before it replaces the one that serves.
    #[serde(skip)]
    trial: Trial,
    /// Put it in place and switch it on.
    pub place: Vec<Command>,
    /// Have nginx check all of its configuration.
    pub test: Command,
    /// Have nginx use it.
    pub reload: Command,
    /// Have nginx print its configuration.
    #[serde(skip)]
    dump: Command,
    /// How it is known that nginx uses it; a project's own nginx.conf doesn't say.
    pub proof: Option<Proof>,
    /// What visitors are to see.
    pub visits: Visits,
    /// Put back the text that was there.
    #[serde(skip)]
    put_back: Command,
    /// Remove it again, where no text was there.
    #[serde(skip)]
    remove: Command,
    /// Switch it off again, where it wasn't switched on.
    #[serde(skip)]
    switch_off: Command,
}

/// What nginx answers once it uses a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Where nginx listens.
    pub address: String,
    /// A host name of the site.
    pub host: String,
    #[serde(skip)]
    answer: String,
}

impl Proof {
    /// Asks nginx once.
    fn holds(&self) -> Result<()> {
        match http::get(&self.address, &self.host, templates::PROOF_PATH)? {
            (200, body) if body == self.answer => Ok(()),
            (status, _) => bail!("it answers with the status {status}"),
        }
    }
}

/// Visits to every host name of the project, through nginx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Visits {
    /// The host names.
    pub hosts: Vec<String>,
    /// The path that is asked for.
    pub path: String,
    #[serde(skip)]
    servers: Vec<Server>,
    #[serde(skip)]
    headers: Vec<String>,
}

impl Visits {
    /// Visits to the hosts of the env by servers that may be those of an older site: only the hosts
    /// that these have.
    fn through(env: &Env, servers: Vec<Server>) -> Self {
        let has_door = |host: &&String| servers::door(&servers, host) != Door::default();
        Self {
            hosts: env.site.hosts.iter().filter(has_door).cloned().collect(),
            path: env.settings.health.path.clone(),
            headers: match env.operator.nginx.behind_proxy {
                true => vec!["X-Forwarded-Proto: https".to_owned()],
                false => Vec::new(),
            },
            servers,
        }
    }

    /// What visitors see now.
    ///
    /// # Errors
    /// When curl can't be run.
    pub fn make(&self) -> Result<Vec<visitor::Visit>> {
        visitor::visit(&self.hosts, &self.path, |host| servers::door(&self.servers, host), &self.headers)
    }

    /// Fails unless visitors of every host are served. `warns` of certificates that aren't trusted.
    fn prove(&self, warns: bool, events: &Events) -> Result<()> {
        let visits = self.make()?;
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

impl fmt::Display for Visits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hosts.as_slice() {
            [] => f.write_str("visit nothing: the site has no host name"),
            hosts => write!(f, "visit {} at {} through nginx", self.path, hosts.join(", ")),
        }
    }
}

/// How long nginx may take until it uses a site that it was told to use.
const SETTLING: Duration = Duration::from_secs(10);

/// How long every answer has to come from the new site. On a reload nginx starts new workers, and
/// tells the old ones to stop a tenth of a second later: until then either kind may answer.
const OVERLAP: Duration = Duration::from_millis(300);

/// The text of the site that is in place, and whether it is switched on.
///
/// # Errors
/// When something is in its place that Gatling didn't put there.
fn in_place(env: &Env) -> Result<(Option<&str>, bool)> {
    let SiteInPlace { text, link } = &env.server.site;
    if text.as_ref().is_some_and(|text| !text.contains(&templates::marker(&env.paths.name))) {
        bail!(
            "{} is there already, and gatling did not write it: if it is yours, commit it to the project as nginx.conf and \
             remove it here",
            env.nginx_available_path.display()
        );
    }
    if *link == Link::Other {
        bail!(
            "{} is there already, and is not gatling's symlink to {}: move it away",
            env.nginx_enabled_path.display(),
            env.nginx_available_path.display()
        );
    }
    Ok((text.as_deref(), *link == Link::Right))
}

pub(crate) fn configure(env: &Env) -> Result<Vec<Action>> {
    Ok(vec![Action::InstallSite(Box::new(site(env)?))])
}

fn site(env: &Env) -> Result<Site> {
    let (old, enabled) = in_place(env)?;
    let available = env.nginx_available_path.display().to_string();
    let link = env.nginx_enabled_path.display().to_string();
    let staged = staged(env);
    let kept = env.deploy_dir.join("nginx-site.old");
    Ok(Site {
        path: env.nginx_available_path.clone(),
        link: env.nginx_enabled_path.clone(),
        place: vec![
            system(env, "install", ["-D", "-m", "644", &staged.display().to_string(), &available]),
            system(env, "ln", ["-sfn", &available, &link]),
        ],
        test: call(env, &["-t"]),
        reload: call(env, &["-s", "reload"]),
        dump: call(env, &["-T"]),
        proof: proof(env),
        visits: Visits::through(env, env.site.servers.clone()),
        put_back: system(env, "install", ["-m", "644", &kept.display().to_string(), &available]),
        remove: system(env, "rm", ["-f", &available]),
        switch_off: system(env, "rm", ["-f", &link]),
        unchanged: enabled && old == Some(&env.nginx_template),
        lock: lock(env),
        contents: env.nginx_template.clone(),
        trial: trial(env, &staged),
        staged,
        kept,
    })
}

/// How the site is tried.
fn trial(env: &Env, staged: &Path) -> Trial {
    let config = env.nginx_dir.join(format!("gatling-trial-{}.conf", env.project));
    let (draft, target) = (env.deploy_dir.join("nginx-trial"), config.display().to_string());
    Trial {
        dump: call(env, &["-T"]),
        link: env.nginx_enabled_path.clone(),
        staged: staged.to_owned(),
        text: env.nginx_template.clone(),
        place: system(env, "install", ["-m", "644", &draft.display().to_string(), &target]),
        remove: system(env, "rm", ["-f", &target]),
        nginx: call_with(env, Some(&config), &[]),
        config,
        draft,
        hosts: env.site.hosts.clone(),
        path: env.settings.health.path.clone(),
        port: env.available_port,
        project: env.project.clone(),
    }
}

fn staged(env: &Env) -> PathBuf {
    env.deploy_dir.join("nginx-site")
}

fn lock(env: &Env) -> PathBuf {
    env.paths.roots.home.join(".gatling").join("nginx.lock")
}

/// How to see that nginx uses the site, if it is Gatling's own and can be asked without TLS.
fn proof(env: &Env) -> Option<Proof> {
    let answer = env.site.proof.clone()?;
    let host = env.site.hosts.first()?.clone();
    match env.site.door(&host).http? {
        Transport::Tcp(address) => Some(Proof { address, host, answer }),
        Transport::Unix(_) => None,
    }
}

/// The site that visitors come through once the app was upgraded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SiteInUse {
    /// There is none yet.
    None,
    /// The one that is in place already.
    InPlace(Visits),
    /// One that has to follow the app to another port at once.
    Moved(Box<Site>),
}

impl SiteInUse {
    pub(super) fn commands(&self) -> Vec<&Command> {
        match self {
            Self::None | Self::InPlace(_) => Vec::new(),
            Self::Moved(site) => site.commands(),
        }
    }

    pub(super) fn prove(&self, events: &Events) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::InPlace(visits) => visits.prove(false, events),
            Self::Moved(site) => site.install(events),
        }
    }
}

impl fmt::Display for SiteInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no site is in place yet"),
            Self::InPlace(visits) => visits.fmt(f),
            Self::Moved(site) => site.fmt(f),
        }
    }
}

/// The site that visitors come through when the app has been upgraded, and has perhaps moved to
/// another port.
pub(crate) fn in_use(env: &Env) -> Result<SiteInUse> {
    let (text, enabled) = in_place(env)?;
    let Some(text) = text.filter(|_| enabled) else { return Ok(SiteInUse::None) };
    if env.server.serving_port.is_some_and(|port| port != env.available_port) {
        return Ok(SiteInUse::Moved(Box::new(site(env)?)));
    }
    let servers = servers::servers(&parse(text, "the site").unwrap_or_default());
    Ok(SiteInUse::InPlace(Visits::through(env, servers)))
}

pub(crate) fn unconfigure(env: &Env) -> Result<Vec<Action>> {
    let text = env.server.site.text.as_ref();
    let is_ours = text.is_some_and(|text| text.contains(&templates::marker(&env.paths.name)));
    if !is_ours {
        return Ok(vec![Action::skip(format!("{} is not there", env.nginx_available_path.display()))]);
    }
    let (link, available) =
        (env.nginx_enabled_path.display().to_string(), env.nginx_available_path.display().to_string());
    let actions = vec![
        Action::run(system(env, "rm", ["-f", &link, &available])),
        Action::Try { command: call(env, &["-s", "reload"]) },
    ];
    Ok(vec![Action::change(Change::Site, "no site", actions, Vec::new())])
}

/// A call of nginx with the configuration that the env is about.
fn call(env: &Env, args: &[&str]) -> Command {
    let config = env.nginx_dir.join("nginx.conf");
    let chosen = (!env.paths.roots.nginx_is_the_systems()).then_some(config);
    call_with(env, chosen.as_deref(), args)
}

fn call_with(env: &Env, config: Option<&Path>, args: &[&str]) -> Command {
    let config = config.map(|config| config.display().to_string());
    let chosen = config.iter().flat_map(|config| ["-c", config]);
    Command::new("nginx", chosen.chain(args.iter().copied()), &env.deploy_dir_or_root()).as_root(env.server.sudo)
}

impl Site {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(super) fn commands(&self) -> Vec<&Command> {
        self.place.iter().chain([&self.test, &self.reload]).collect()
    }

    /// Tries the site, if it is a new one, before anything is done: what is wrong with it, or with nginx's
    /// configuration as it is, would otherwise show only when the new release is up.
    ///
    /// # Errors
    /// When nginx would not take the site, or visitors would not come through it to the app.
    pub(super) fn check_beforehand(&self, events: &Events) -> Result<()> {
        if self.unchanged && self.is_in_use() {
            return Ok(());
        }
        let _alone = self.lock_nginx(events)?;
        write_file(&self.staged, &self.contents, 0o644)?;
        let tried = self.trial.run(&mut |line| events.debug(line));
        tried.context("nginx would not take the new site; nothing was changed")
    }

    /// nginx checks all of its configuration, so that the sites of other projects play a part.
    fn lock_nginx(&self, events: &Events) -> Result<Lock> {
        Lock::take(&self.lock, |_| events.note("waiting for nginx: another project is being configured"))
    }

    pub(super) fn install(&self, events: &Events) -> Result<()> {
        let old = fs::read_to_string(&self.path).ok();
        let was_enabled = fs::read_link(&self.link).is_ok_and(|target| target == self.path);
        if was_enabled && old.as_ref() == Some(&self.contents) && self.is_in_use() {
            self.visits.prove(true, events)?;
            events.note(format!("nothing to do: nginx serves {} as it is", self.path.display()));
            return Ok(());
        }
        let _alone = self.lock_nginx(events)?;
        write_file(&self.staged, &self.contents, 0o644)?;
        if let Some(old) = &old {
            write_file(&self.kept, old, 0o644)?;
        }
        let switch_off = (!was_enabled).then_some(&self.switch_off);
        let restore = if old.is_some() { &self.put_back } else { &self.remove };
        let undo: Vec<_> = switch_off.into_iter().chain([restore, &self.reload]).cloned().map(Action::Run).collect();
        events.changing(Change::Site, self.path.display().to_string(), serde_json::to_value(undo).ok())?;
        let workers = self.workers();
        let Err(error) = self.bring_into_use(events).and_then(|()| self.prove(&workers, events)) else {
            events.changed(Change::Site);
            return Ok(());
        };
        let put_back = switch_off.into_iter().chain([restore]).try_for_each(|command| run(command, events));
        events.emit(Event::Undone { change: Change::Site, ok: put_back.is_ok() });
        // Where nginx refused the site it still uses what was there; where it was told to use
        // the site already, it has to be told again. The first failure is the one that counts.
        _ = self.reload.run(|lines| events.debug(&lines.text));
        let outcome = match (&put_back, &old) {
            (Ok(()), Some(_)) => format!("{} was put back as it was", self.path.display()),
            (Ok(()), None) => format!("{} was removed again", self.path.display()),
            (Err(error), _) => format!("and {} could not be put back: {error:#}", self.path.display()),
        };
        Err(error).context(outcome)
    }

    fn bring_into_use(&self, events: &Events) -> Result<()> {
        for command in &self.place {
            run(command, events)?;
        }
        for command in [&self.test, &self.reload] {
            follow(command, || command.run(emit(events)), events).map_err(|error| self.explain(error))?;
        }
        Ok(())
    }

    /// nginx's workers: those of another configuration are others.
    fn workers(&self) -> HashSet<String> {
        let master = || nginx::running(&Dump::parse(&self.dump.capture().ok()?).ok()?.expand().ok()?);
        let Some(master) = master() else { return HashSet::new() };
        let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }

    /// Whether nginx uses the site, which is in place, as far as that can be seen at a glance.
    fn is_in_use(&self) -> bool {
        let answers = |host: &String| match servers::door(&self.visits.servers, host).http {
            Some(Transport::Tcp(address)) => std::net::TcpStream::connect(address).is_ok(),
            _ => true,
        };
        match &self.proof {
            Some(proof) => proof.holds().is_ok(),
            None => self.visits.hosts.iter().take(1).all(answers),
        }
    }

    /// Waits until nginx uses the site: it does so in its own time, and where it can't, says so
    /// only in its error log.
    fn prove(&self, old_workers: &HashSet<String>, events: &Events) -> Result<()> {
        let uses_it = || match &self.proof {
            Some(proof) => {
                proof.holds().map_err(|error| format!("does not serve {} at {}: {error:#}", proof.host, proof.address))
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
                        return self.visits.prove(true, events);
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
                        self.path.display(),
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
        if *command == self.reload.to_string() {
            anyhow::anyhow!(
                "nginx could not be told to use the new site; is it running? Start it, for instance with `service nginx start`. It says:\n    {said}"
            )
        } else {
            let mine = said.contains(&self.path.display().to_string()) || said.contains(&format!("/{}:", self.name()));
            let what = if mine {
                format!("the site {}", self.path.display())
            } else {
                "its configuration, though not for this site".to_owned()
            };
            anyhow::anyhow!("nginx refuses {what}. It says:\n    {said}")
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unchanged && self.proof.is_some() {
            return write!(f, "nothing to do if nginx serves {} as it is\n{}", self.path.display(), self.visits);
        }
        let commands = self.place.iter().chain([&self.test, &self.reload]);
        let commands: Vec<_> = commands.map(|command| format!("$ {command}")).collect();
        f.write_str(&commands.join("\n"))?;
        if let Some(proof) = &self.proof {
            write!(f, "\ncheck that nginx serves {} at {}", proof.host, proof.address)?;
        }
        write!(f, "\n{}", self.visits)
    }
}
