//! The env: everything about one deployment, built once, before the first step.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::dotenv::Dotenv;
use crate::mix::{Mix, MixFacts};
use crate::roots::ProjectPaths;
use crate::settings::{OperatorSettings, ProjectSettings};
use crate::task::Task;
use crate::templates;

/// What is deployed: a commit of the deploy branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The commit, in full; empty where the repository has none.
    pub commit: String,
    /// The deploy branch.
    pub branch: String,
}

/// Everything about this deployment. Its serialized fields are those of the record that hooks
/// get (`wit/hooks.wit` says what each means); the rest is for steps alone.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the contract in wit/ says what each field means")]
pub struct Env {
    pub available_port: u16,
    pub available_tasks: Vec<String>,
    pub build_dir: PathBuf,
    pub built_release_path: PathBuf,
    pub deploy_callback_module: Option<PathBuf>,
    pub deploy_dir: PathBuf,
    pub deploy_path: PathBuf,
    pub domains: Vec<String>,
    pub etc_dir: PathBuf,
    pub etc_path: PathBuf,
    pub git_hook_path: PathBuf,
    pub nginx_available_path: PathBuf,
    pub nginx_dir: PathBuf,
    pub nginx_enabled_path: PathBuf,
    pub nginx_template: String,
    pub project: String,
    pub releases: Vec<String>,
    pub script_template: String,
    pub upgrade_callback_module: Option<PathBuf>,
    pub upgrade_dir: PathBuf,
    pub upgrade_path: PathBuf,
    pub version: String,
    pub task: Task,
    pub commit: String,
    pub branch: String,
    pub previous_version: Option<String>,
    pub strategy: &'static str,
    pub unload_callback_module: Option<PathBuf>,

    /// Where everything of this project is.
    #[serde(skip)]
    pub paths: ProjectPaths,
    /// The project's settings.
    #[serde(skip)]
    pub settings: ProjectSettings,
    /// The server's settings.
    #[serde(skip)]
    pub operator: OperatorSettings,
    /// What mix said; nothing for `unload`, which works without mix.
    #[serde(skip)]
    pub facts: MixFacts,
    /// The variables of the project's `.env`.
    #[serde(skip)]
    pub variables: Vec<(String, String)>,
    /// How mix is called.
    #[serde(skip)]
    pub mix: Mix,
    /// Whether commands that change the system go through sudo.
    #[serde(skip)]
    pub sudo: bool,
}

/// What is known of a deployment before mix is asked about the project.
#[derive(Clone, Debug)]
pub struct Outset {
    paths: ProjectPaths,
    task: Task,
    operator: OperatorSettings,
    settings: ProjectSettings,
    dotenv: Dotenv,
    port: u16,
    mix: Mix,
    /// The release that serves.
    current: Option<String>,
}

impl Outset {
    /// Looks at the project as it is checked out, and at the server.
    ///
    /// # Errors
    /// When settings or the `.env` can't be read, or no port is free.
    pub fn look(paths: &ProjectPaths, task: Task) -> Result<Self> {
        let operator = OperatorSettings::read(&paths.roots.config)?;
        // A project whose files are rubbish must still be one that can be taken off the server.
        let tolerant = task == Task::Unload;
        let settings = or_default(tolerant, ProjectSettings::read(&paths.build_dir()))?;
        let dotenv = or_default(tolerant, Dotenv::read(&paths.dotenv()))?;
        let port = choose_port(paths, &dotenv)?;
        let mix = Mix {
            dir: paths.build_dir(),
            env: dotenv.get("MIX_ENV").unwrap_or(&operator.mix_env).to_owned(),
            variables: mix_variables(&dotenv, &operator, port),
        };
        // What a first deployment that failed has left behind never served.
        let current = if paths.is_deployed() { paths.current_release() } else { None };

        Ok(Self { paths: paths.clone(), task, operator, settings, dotenv, port, mix, current })
    }

    /// How mix is called.
    #[must_use]
    pub fn mix(&self) -> &Mix {
        &self.mix
    }

    /// What mix says of the project. Nothing is asked for `unload`, which works without mix.
    ///
    /// # Errors
    /// As [`Mix::ask`].
    pub fn ask(&self) -> Result<MixFacts> {
        if self.task == Task::Unload {
            return Ok(MixFacts { version: self.current.clone().unwrap_or_default(), ..MixFacts::default() });
        }
        self.mix.ask()
    }

    /// Builds the env, with what mix says.
    ///
    /// # Errors
    /// When something that the task needs is missing or wrong: the error says what, and what to do.
    pub fn build(self, source: &Source, facts: MixFacts) -> Result<Env> {
        let Self { paths, task, operator, settings, dotenv, port, mix, current } = self;
        let paths = &paths;
        if task != Task::Unload {
            check_facts(paths, &facts)?;
        }
        let domains = or_default(task == Task::Unload, read_domains(&paths.build_dir()))?;
        let release = release_name(paths, &facts.version, current.as_deref());
        let upgrade_dir = paths.releases_dir().join(&release);
        let callback_module =
            |task: Task| Some(paths.build_dir().join(task.hooks_file())).filter(|file| file.symlink_metadata().is_ok());

        Ok(Env {
            available_port: port,
            available_tasks: facts.tasks.clone(),
            build_dir: paths.build_dir(),
            built_release_path: facts.release_path.clone(),
            deploy_callback_module: callback_module(Task::Deploy),
            deploy_dir: paths.deploy_dir(),
            deploy_path: paths.deploy_dir().join(format!("{}.tar.gz", paths.name)),
            etc_dir: paths.roots.etc_dir.clone(),
            etc_path: paths.init_script(),
            git_hook_path: paths.git_hook(),
            nginx_available_path: paths.nginx_available(),
            nginx_dir: paths.roots.nginx_dir.clone(),
            nginx_enabled_path: paths.nginx_enabled(),
            nginx_template: nginx_site(paths, &operator, &domains, port)?,
            domains,
            project: paths.name.to_string(),
            releases: releases(paths),
            script_template: templates::init_script(paths)?,
            upgrade_callback_module: callback_module(Task::Upgrade),
            upgrade_path: upgrade_dir.join(paths.name.as_str()),
            upgrade_dir,
            version: facts.version.clone(),
            task,
            commit: source.commit.clone(),
            branch: source.branch.clone(),
            previous_version: current,
            strategy: settings.strategy.name(),
            unload_callback_module: callback_module(Task::Unload),
            sudo: needs_sudo(paths),
            paths: paths.clone(),
            settings,
            operator,
            facts,
            variables: dotenv.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            mix,
        })
    }
}

impl Env {
    /// Looks at the project as it is checked out, and at the server, asks mix, and builds the env.
    ///
    /// # Errors
    /// When something that the task needs is missing or wrong: the error says what, and what to do.
    pub fn build(paths: &ProjectPaths, task: Task, source: &Source) -> Result<Self> {
        let outset = Outset::look(paths, task)?;
        let facts = outset.ask()?;
        outset.build(source, facts)
    }

    /// The release's name on this server: its version, with a number where the same version
    /// is serving already.
    #[must_use]
    pub fn release(&self) -> String {
        self.upgrade_dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The deploy dir while it is there: `unload` goes on after it was removed.
    #[must_use]
    pub fn deploy_dir_or_root(&self) -> PathBuf {
        if self.deploy_dir.is_dir() { self.deploy_dir.clone() } else { PathBuf::from("/") }
    }

    /// The hooks file of the env's own task.
    #[must_use]
    pub fn hooks_file(&self) -> Option<&Path> {
        match self.task {
            Task::Deploy => self.deploy_callback_module.as_deref(),
            Task::Upgrade => self.upgrade_callback_module.as_deref(),
            Task::Unload => self.unload_callback_module.as_deref(),
        }
    }
}

fn or_default<T: Default>(tolerant: bool, result: Result<T>) -> Result<T> {
    if tolerant { Ok(result.unwrap_or_default()) } else { result }
}

fn check_facts(paths: &ProjectPaths, facts: &MixFacts) -> Result<()> {
    if facts.app != paths.name.as_str() {
        bail!(
            "mix.exs says `app: :{}`, but this project was loaded as {}: load it as what it is, with `gatling load {}`, and push there",
            facts.app,
            paths.name,
            facts.app
        );
    }
    let fit = |c: char| c.is_ascii_alphanumeric() || ".-+_".contains(c);
    if facts.version.is_empty() || facts.version == "0.0.0" {
        bail!(
            "mix.exs has {}: set `version:` to the version that you deploy, such as \"0.1.0\"",
            match facts.version.as_str() {
                "" => "no version",
                _ => "the version 0.0.0, which is no version to deploy",
            }
        );
    }
    if !facts.version.chars().all(fit) || facts.version.starts_with('.') {
        bail!("mix.exs has the version {:?}: set `version:` to one such as \"0.1.0\"", facts.version);
    }
    Ok(())
}

/// The release's folder is named after its version. The folder that the running release was
/// started from is never touched, so the same version again gets a number.
fn release_name(paths: &ProjectPaths, version: &str, current: Option<&str>) -> String {
    if current != Some(version) && !current.is_some_and(|current| current.starts_with(&format!("{version}+"))) {
        return version.to_owned();
    }
    (2..)
        .map(|number| format!("{version}+{number}"))
        .find(|name| {
            Some(name.as_str()) != current && !paths.releases_dir().join(name).join(paths.name.as_str()).exists()
        })
        .expect("numbers don't end")
}

fn releases(paths: &ProjectPaths) -> Vec<String> {
    let Ok(entries) = fs::read_dir(paths.releases_dir()) else { return Vec::new() };
    let mut releases: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let made = fs::metadata(entry.path().join(paths.name.as_str())).and_then(|m| m.modified()).ok()?;
            Some((made, entry.file_name().into_string().ok()?))
        })
        .collect();
    releases.sort();
    releases.into_iter().map(|(_, name)| name).collect()
}

fn mix_variables(dotenv: &Dotenv, operator: &OperatorSettings, port: u16) -> Vec<(String, String)> {
    let defaults = [("MIX_ENV".to_owned(), operator.mix_env.clone())];
    let own = dotenv.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    defaults.into_iter().chain(own).chain([("PORT".to_owned(), port.to_string())]).collect()
}

/// The port in the project's `.env`, else the one that the running release has, else a free one.
fn choose_port(paths: &ProjectPaths, dotenv: &Dotenv) -> Result<u16> {
    if let Some(port) = dotenv.get("PORT") {
        return port.parse().ok().filter(|port| *port != 0).with_context(|| {
            format!("PORT is {port:?} in the project's .env: set a number from 1 to 65535, with `gatling config set {} PORT=4000`", paths.name)
        });
    }
    let noted = Dotenv::read(&paths.current_link().join("service.env")).unwrap_or_default();
    match noted.get("GATLING_PORT").and_then(|port| port.parse().ok()) {
        Some(port) => Ok(port),
        None => free_port(),
    }
}

/// A port that nothing listens on. It lies below those that Linux gives to outgoing
/// connections, or one of them could take it while the app restarts.
fn free_port() -> Result<u16> {
    const RANGE: std::ops::Range<u32> = 20_000..30_000;
    let mut start = [0; 4];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| io::Read::read_exact(&mut file, &mut start))
        .context("cannot read /dev/urandom")?;
    let start = u32::from_ne_bytes(start) % RANGE.len() as u32;
    (0..RANGE.len() as u32)
        .map(|offset| (RANGE.start + (start + offset) % RANGE.len() as u32) as u16)
        .find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok())
        .context(
            "no port from 20000 to 29999 is free: choose one yourself with `gatling config set PROJECT PORT=NUMBER`",
        )
}

/// The host names in the project's `domains`: separated by white space or commas; `#` begins
/// a comment.
fn read_domains(build_dir: &Path) -> Result<Vec<String>> {
    let file = build_dir.join("domains");
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let domains: Vec<_> = lines
        .flat_map(|line| line.split(|c: char| c.is_whitespace() || c == ','))
        .filter(|domain| !domain.is_empty())
        .map(str::to_owned)
        .collect();
    let fit = |c: char| c.is_ascii_alphanumeric() || "-._*".contains(c);
    if let Some(wrong) = domains.iter().find(|domain| !domain.chars().all(fit)) {
        bail!("{wrong:?} in the project's file `domains` is no host name such as www.example.com");
    }
    if domains.is_empty() && !build_dir.join("nginx.conf").is_file() {
        bail!(
            "the project has no {}: name the host names that nginx is to serve it at, for instance with \
             `echo www.example.com > domains`, and commit the file",
            if file.is_file() { "host name in its file `domains`" } else { "file `domains`" }
        );
    }
    Ok(domains)
}

/// The project's own nginx.conf if it has one, else the template.
fn nginx_site(paths: &ProjectPaths, operator: &OperatorSettings, domains: &[String], port: u16) -> Result<String> {
    let own = paths.build_dir().join("nginx.conf");
    match fs::read_to_string(&own) {
        Ok(text) => Ok(format!("# {}\n{text}", templates::marker(&paths.name))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            templates::nginx_site(paths, &operator.nginx.listen, domains, port)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", own.display())),
    }
}

/// Whether the system's folders are somebody else's.
fn needs_sudo(paths: &ProjectPaths) -> bool {
    let writable = |dir: &Path| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
    !rustix::process::geteuid().is_root() && !writable(&paths.roots.etc_dir)
}
