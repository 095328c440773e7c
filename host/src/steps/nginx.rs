//! The steps that tell nginx about the project.

use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::{Action, run, system, write_file};
use crate::command::{Command, CommandError};
use crate::env::Env;
use crate::http;
use crate::run::lock::Lock;
use crate::run::log::RunLog;
use crate::templates;

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
    /// nginx checks all of its configuration, so that the sites of other projects play a part.
    #[serde(skip)]
    lock: PathBuf,
    /// Where the text that it replaces is kept, if there is one.
    #[serde(skip)]
    kept: Option<(PathBuf, String)>,
    /// Put it in place and switch it on.
    pub place: Vec<Command>,
    /// Have nginx check all of its configuration.
    pub test: Command,
    /// Have nginx use it.
    pub reload: Command,
    /// How it is known that nginx uses it; nothing is known of a project's own nginx.conf.
    pub proof: Option<Proof>,
    /// Put back what was there.
    pub restore: Vec<Command>,
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

/// How long nginx may take until it uses a site that it was told to use.
const SETTLING: Duration = Duration::from_secs(10);

/// How long every answer has to come from the new site. On a reload nginx starts new workers, and
/// tells the old ones to stop a tenth of a second later: until then either kind may answer.
const OVERLAP: Duration = Duration::from_millis(300);

pub(crate) fn configure(env: &Env) -> Result<Vec<Action>> {
    let old = std::fs::read_to_string(&env.nginx_available_path).ok();
    if old.as_ref().is_some_and(|old| !old.contains(&templates::marker(&env.paths.name))) {
        bail!(
            "{} is there already, and gatling did not write it: if it is yours, commit it to the project as nginx.conf and \
             remove it here",
            env.nginx_available_path.display()
        );
    }
    let enabled = std::fs::read_link(&env.nginx_enabled_path).is_ok_and(|target| target == env.nginx_available_path);
    if !enabled && env.nginx_enabled_path.symlink_metadata().is_ok() {
        bail!(
            "{} is there already, and is no link of gatling's to {}: move it away",
            env.nginx_enabled_path.display(),
            env.nginx_available_path.display()
        );
    }
    let unchanged = enabled && old.as_ref() == Some(&env.nginx_template);
    let available = env.nginx_available_path.display().to_string();
    let link = env.nginx_enabled_path.display().to_string();
    let staged = env.deploy_dir.join("nginx-site");
    let kept = old.map(|old| (env.deploy_dir.join("nginx-site.old"), old));
    let mut restore = Vec::new();
    if !enabled {
        restore.push(system(env, "rm", ["-f", &link]));
    }
    restore.push(match &kept {
        Some((kept, _)) => system(env, "install", ["-m", "644", &kept.display().to_string(), &available]),
        None => system(env, "rm", ["-f", &available]),
    });
    Ok(vec![Action::InstallSite(Box::new(Site {
        path: env.nginx_available_path.clone(),
        place: vec![
            system(env, "install", ["-D", "-m", "644", &staged.display().to_string(), &available]),
            system(env, "ln", ["-sfn", &available, &link]),
        ],
        test: nginx(env, ["-t"]),
        reload: nginx(env, ["-s", "reload"]),
        proof: proof(env),
        restore,
        unchanged,
        lock: env.paths.roots.home.join(".gatling").join("nginx.lock"),
        contents: env.nginx_template.clone(),
        staged,
        kept,
    }))])
}

/// How to see that nginx uses the site, if it is Gatling's own and can be asked without TLS.
fn proof(env: &Env) -> Option<Proof> {
    let listen = &env.operator.nginx.listen;
    let answer = templates::site_proof(listen, &env.domains, env.available_port);
    if !env.nginx_template.contains(&answer) {
        return None;
    }
    let plain = listen.iter().find(|address| !address.contains("ssl") && !address.starts_with("unix:"))?;
    let plain = plain.split(' ').next()?;
    let address = match plain.rsplit_once(':') {
        None if plain.chars().all(|c| c.is_ascii_digit()) => format!("127.0.0.1:{plain}"),
        None => format!("{plain}:80"),
        Some(("*" | "0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        Some(_) => plain.to_owned(),
    };
    Some(Proof { address, host: env.domains.first()?.replace('*', "gatling"), answer })
}

pub(crate) fn unconfigure(env: &Env) -> Result<Vec<Action>> {
    let is_ours = std::fs::read_to_string(&env.nginx_available_path)
        .is_ok_and(|text| text.contains(&templates::marker(&env.paths.name)));
    if !is_ours {
        return Ok(vec![Action::skip(format!("{} is not there", env.nginx_available_path.display()))]);
    }
    let (link, available) =
        (env.nginx_enabled_path.display().to_string(), env.nginx_available_path.display().to_string());
    Ok(vec![
        Action::run(system(env, "rm", ["-f", &link, &available])),
        Action::Try { command: nginx(env, ["-s", "reload"]) },
    ])
}

/// A call of nginx with the configuration that the env is about.
fn nginx<const N: usize>(env: &Env, args: [&str; N]) -> Command {
    let config = env.nginx_dir.join("nginx.conf").display().to_string();
    let chosen = (!env.paths.roots.nginx_is_the_systems()).then_some(["-c", &config]);
    let args = chosen.iter().flatten().copied().chain(args);
    Command::new("nginx", args, &env.deploy_dir_or_root()).as_root(env.sudo)
}

impl Site {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(super) fn commands(&self) -> Vec<&Command> {
        self.place.iter().chain([&self.test, &self.reload]).collect()
    }

    pub(super) fn install(&self, log: &RunLog) -> Result<()> {
        if self.unchanged && self.proof.as_ref().is_some_and(|proof| proof.holds().is_ok()) {
            log.output(&format!("nothing to do: nginx serves {} as it is", self.path.display()));
            return Ok(());
        }
        let _alone = Lock::take(&self.lock, |_| log.output("waiting for nginx: another project is being configured"))?;
        write_file(&self.staged, &self.contents, 0o644)?;
        if let Some((path, old)) = &self.kept {
            write_file(path, old, 0o644)?;
        }
        let Err(error) = self.bring_into_use(log).and_then(|()| self.prove()) else { return Ok(()) };
        let put_back = self.restore.iter().try_for_each(|command| run(command, log));
        // Where nginx refused the site it still uses what was there; where it was told to use
        // the site already, it has to be told again. The first failure is the one that counts.
        _ = self.reload.run(|line| log.debug(line));
        let outcome = match (&put_back, &self.kept) {
            (Ok(()), Some(_)) => format!("{} was put back as it was", self.path.display()),
            (Ok(()), None) => format!("{} was removed again", self.path.display()),
            (Err(error), _) => format!("and {} could not be put back: {error:#}", self.path.display()),
        };
        Err(error).context(outcome)
    }

    fn bring_into_use(&self, log: &RunLog) -> Result<()> {
        for command in &self.place {
            run(command, log)?;
        }
        for command in [&self.test, &self.reload] {
            log.output(&format!("$ {command}"));
            command.run(|line| log.output(line)).map_err(|error| self.explain(error))?;
        }
        Ok(())
    }

    /// Waits until nginx uses the site: it does so in its own time, and where it can't, says so
    /// only in its error log.
    fn prove(&self) -> Result<()> {
        let Some(proof) = &self.proof else { return Ok(()) };
        let deadline = Instant::now() + SETTLING;
        let mut proved_since = None;
        loop {
            match proof.holds() {
                Ok(()) => {
                    if proved_since.get_or_insert_with(Instant::now).elapsed() >= OVERLAP {
                        return Ok(());
                    }
                    thread::sleep(Duration::from_millis(10));
                }
                Err(_) if Instant::now() < deadline => {
                    proved_since = None;
                    thread::sleep(Duration::from_millis(10));
                }
                Err(found) => {
                    bail!(
                        "nginx was told to use the site {}, and does not serve {} at {} after {} s: {found:#}. Its error log says \
                         why; another site may have the same name, or another program the port",
                        self.path.display(),
                        proof.host,
                        proof.address,
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

/// Has nginx check its configuration before anything is done, where a site is to be changed: what is
/// wrong there already would show only when the new release is up.
///
/// # Errors
/// When nginx refuses what it has.
pub(crate) fn check_beforehand(env: &Env, log: &RunLog) -> Result<()> {
    for step in env.task.steps() {
        for action in (step.actions)(env)? {
            let Action::InstallSite(site) = action else { continue };
            if !site.unchanged {
                let result = site.test.run(|line| log.debug(line)).map_err(|error| site.explain(error));
                result.context("nginx would not take a new site now; nothing was begun")?;
            }
        }
    }
    Ok(())
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unchanged && self.proof.is_some() {
            return write!(f, "nothing to do if nginx serves {} as it is", self.path.display());
        }
        let commands = self.place.iter().chain([&self.test, &self.reload]);
        let commands: Vec<_> = commands.map(|command| format!("$ {command}")).collect();
        f.write_str(&commands.join("\n"))?;
        match &self.proof {
            Some(proof) => write!(f, "\ncheck that nginx serves {} at {}", proof.host, proof.address),
            None => Ok(()),
        }
    }
}
