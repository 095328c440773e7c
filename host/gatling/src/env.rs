//! The env: everything about one deployment, built once, before the first step.

mod checks;
pub mod server;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::mix::{Mix, MixFacts};
use crate::nginx;
use crate::task::Task;
use crate::toolchain::{self, Asked};
use gatling_config::domains;
use gatling_config::dotenv::Dotenv;
use gatling_config::roots::ProjectPaths;
use gatling_config::secrets;
use gatling_config::settings::{OperatorSettings, ProjectSettings, SiteSettings, project_file};
use gatling_nginx::Door;
use gatling_nginx::config;
use gatling_nginx::servers::{self, Server};
use gatling_process::Variables;
use gatling_templates::{self as templates, SiteText};
use server::{ServerFacts, serving_port};

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
    pub variables: Variables,
    /// How mix is called.
    #[serde(skip)]
    pub mix: Mix,
    /// The site that visitors come to.
    #[serde(skip)]
    pub site: Site,
    /// What is there on the server.
    #[serde(skip)]
    pub server: ServerFacts,
    /// What the user should know, and that is no failure.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// The site that visitors come to.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Whether it is the project's own nginx.conf.
    pub is_own: bool,
    /// Its servers, as far as nginx.conf can be understood.
    pub servers: Vec<Server>,
    /// Host names that visitors use, one for each wildcard too.
    pub hosts: Vec<String>,
    /// What it says of itself, if it is Gatling's.
    pub proof: Option<String>,
}

impl Site {
    /// The site with this text, for the host names that the project lists. `proof` is what a site of
    /// Gatling's says of itself.
    #[must_use]
    pub fn new(text: &str, domains: &[String], proof: Option<String>) -> Self {
        // What can't be understood is refused in nginx's own words when it is asked.
        let servers = servers::servers(&config::parse(text, "nginx.conf").unwrap_or_default());
        let hosts = match domains {
            [] => servers::plain_names(&servers),
            domains => domains.iter().map(|domain| domains::example(domain)).collect(),
        };
        Self { is_own: proof.is_none(), servers, hosts, proof }
    }

    /// Where visitors of a host name come in.
    #[must_use]
    pub fn door(&self, host: &str) -> Door {
        servers::door(&self.servers, host)
    }
}

/// What is known of a deployment before mix is asked about the project.
#[derive(Clone, Debug)]
struct EnvDraft {
    paths: ProjectPaths,
    task: Task,
    operator: OperatorSettings,
    settings: ProjectSettings,
    dotenv: Dotenv,
    port: u16,
    domains: Option<Vec<String>>,
    mix: Mix,
    /// The release that serves.
    current: Option<String>,
}

impl EnvDraft {
    /// Looks at the project as it is checked out, and at the server.
    ///
    /// # Errors
    /// When settings or the `.env` can't be read, or no port is free.
    fn look(paths: &ProjectPaths, task: Task) -> Result<Self> {
        let operator = OperatorSettings::read(&paths.roots.config)?;
        // A project whose files are rubbish must still be one that can be taken off the server.
        let tolerant = task == Task::Unload;
        let settings = or_default(tolerant, ProjectSettings::read(&paths.build_dir()))?;
        let mut dotenv = or_default(tolerant, Dotenv::read(&paths.dotenv()))?;
        if task == Task::Deploy && secrets::is_missing(paths, &dotenv) {
            // It is generated when the project really is deployed.
            dotenv.set(secrets::NAME, &secrets::generate()?)?;
        }
        let domains = or_default(tolerant, domains::read(&paths.build_dir()))?;
        let port = choose_port(paths, &dotenv)?;
        let host = domains.as_deref().and_then(domains::main);
        let mix = Mix::new(
            paths.build_dir(),
            dotenv.get("MIX_ENV").unwrap_or(&operator.mix_env).to_owned(),
            mix_variables(&dotenv, &operator, port, host),
            settings.mix.session,
        );
        // What a first deployment that failed has left behind never served.
        let current = if paths.is_deployed() { paths.current_release() } else { None };

        Ok(Self { paths: paths.clone(), task, operator, settings, dotenv, port, domains, mix, current })
    }

    /// What mix says of the project. Nothing is asked for `unload`, which works without mix.
    ///
    /// # Errors
    /// As [`Mix::ask`].
    fn ask(&self) -> Result<MixFacts> {
        if self.task == Task::Unload {
            return Ok(MixFacts { version: self.current.clone().unwrap_or_default(), ..MixFacts::default() });
        }
        self.mix.ask()
    }

    /// Builds the env, with what mix says.
    ///
    /// # Errors
    /// When something that the task needs is missing or wrong: the error says what, and what to do.
    fn build(self, commit: &Source, facts: MixFacts) -> Result<Env> {
        let Self { paths, task, operator, settings, dotenv, port, domains, mix, current } = self;
        let paths = &paths;
        let tolerant = task == Task::Unload;
        let mut warnings = Vec::new();
        if !tolerant {
            let asked = Asked::read(&paths.build_dir(), facts.requirement.clone())?;
            warnings = toolchain::check(&asked, &facts.versions, &toolchain::of_user())?;
            checks::check_facts(paths, &facts)?;
            checks::check_runtime_config(paths, &facts, &mix.variables)?;
        }
        let (domains, nginx_template, site) =
            or_default(tolerant, site(paths, &operator, &settings.nginx, domains, port))?;
        if !tolerant {
            checks::check_https(&facts, &operator, &domains, &site)?;
        }
        let release = release_name(paths, &facts.version, current.as_deref());
        let upgrade_dir = paths.releases_dir().join(&release);
        let source = facts.release_folder.as_ref();
        let server =
            ServerFacts::gather(paths, &source.map_or(paths.build_dir(), |folder| paths.build_dir().join(folder)))?;
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
            nginx_template,
            domains,
            project: paths.name.to_string(),
            releases: releases(paths),
            script_template: templates::init_script(paths)?,
            upgrade_callback_module: callback_module(Task::Upgrade),
            upgrade_path: upgrade_dir.join(paths.name.as_str()),
            upgrade_dir,
            version: facts.version.clone(),
            task,
            commit: commit.commit.clone(),
            branch: commit.branch.clone(),
            previous_version: current,
            strategy: settings.strategy.name(),
            unload_callback_module: callback_module(Task::Unload),
            paths: paths.clone(),
            settings,
            operator,
            facts,
            variables: dotenv.iter().collect(),
            mix,
            site,
            server,
            warnings,
        })
    }
}

impl Env {
    /// Looks at the project as it is checked out, and at the server, asks mix, and builds the env.
    ///
    /// # Errors
    /// When something that the task needs is missing or wrong: the error says what, and what to do.
    pub fn build(paths: &ProjectPaths, task: Task, source: &Source) -> Result<Self> {
        let draft = EnvDraft::look(paths, task)?;
        let facts = draft.ask()?;
        draft.build(source, facts)
    }

    /// The release's name on this server: its version, with a number where the same version
    /// is serving already.
    #[must_use]
    pub fn release(&self) -> String {
        self.upgrade_dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The deploy dir where it is there: an `unload` that was cut short may have removed it.
    #[must_use]
    pub fn deploy_dir_or_root(&self) -> PathBuf {
        if self.server.has_deploy_dir { self.deploy_dir.clone() } else { PathBuf::from("/") }
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

/// The release's folder is named after its version. The folder that the running release was
/// started from is never touched, so the same version again gets a number.
fn release_name(paths: &ProjectPaths, version: &str, current: Option<&str>) -> String {
    if current != Some(version) && !current.is_some_and(|current| current.starts_with(&format!("{version}+"))) {
        return version.to_owned();
    }
    numbered(paths, version)
}

/// A name that no release has: the version with a number.
pub(crate) fn numbered(paths: &ProjectPaths, version: &str) -> String {
    let is_free = |name: &String| !paths.releases_dir().join(name).join(paths.name.as_str()).exists();
    (2..).map(|number| format!("{version}+{number}")).find(is_free).expect("numbers don't end")
}

/// The releases on the server, in the order in which they last served; before them those that never
/// did, by their names.
fn releases(paths: &ProjectPaths) -> Vec<String> {
    let Ok(entries) = fs::read_dir(paths.releases_dir()) else { return Vec::new() };
    let served = paths.served();
    let mut releases: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let is_whole = entry.path().join(paths.name.as_str()).is_dir();
            is_whole.then(|| (served.iter().rposition(|other| *other == name), name))
        })
        .collect();
    releases.sort();
    releases.into_iter().map(|(_, name)| name).collect()
}

fn mix_variables(dotenv: &Dotenv, operator: &OperatorSettings, port: u16, host: Option<&str>) -> Variables {
    let mut variables = Variables::default();
    variables.set("MIX_ENV", &operator.mix_env);
    variables.extend(host.map(|host| ("PHX_HOST", host)));
    variables.extend(dotenv.iter());
    variables.set("PORT", &port.to_string());
    variables
}

/// The port in the project's `.env`, else the one that the running release has, else a free one.
fn choose_port(paths: &ProjectPaths, dotenv: &Dotenv) -> Result<u16> {
    if let Some(port) = dotenv.get("PORT") {
        return port.parse().ok().filter(|port| *port != 0).with_context(|| {
            format!("PORT is {port:?} in the project's .env: set a number from 1 to 65535, with `gatling config set {} PORT=4000`", paths.name)
        });
    }
    match serving_port(paths) {
        Some(port) => Ok(port),
        None => free_port()
            .with_context(|| format!("choose a port yourself with `gatling config set {} PORT=NUMBER`", paths.name)),
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
        .context("no port from 20000 to 29999 is free")
}

/// No nginx.conf of a project is longer than this, in bytes.
const LONGEST_SITE: u64 = 1024 * 1024;

/// The host names, the text of the site and what visitors see of it: the project's own nginx.conf if
/// it has one, else Gatling's site.
fn site(
    paths: &ProjectPaths,
    operator: &OperatorSettings,
    settings: &SiteSettings,
    domains: Option<Vec<String>>,
    port: u16,
) -> Result<(Vec<String>, String, Site)> {
    let own = project_file(&paths.build_dir(), "nginx.conf", LONGEST_SITE)?;
    let has_file = domains.is_some();
    let domains = domains.unwrap_or_default();
    let (text, proof) = match &own {
        // The mark comes last, so that nginx counts the lines as the author does.
        Some(text) => (format!("{}\n# {}\n", text.trim_end(), templates::marker(&paths.name)), None),
        None if domains.is_empty() => bail!(
            "the project has no {}: name the host names that nginx is to serve it at, for instance with \
             `echo www.example.com > domains`, and commit the file",
            if has_file { "host name in its file `domains`" } else { "file `domains`" }
        ),
        None => {
            let assets = paths.assets_dir().filter(|_| nginx::serves_gz_files());
            let site = SiteText::new(&operator.nginx, settings, &domains, port, assets.as_deref());
            (site.render(&paths.name)?, Some(site.proof()))
        }
    };
    let site = Site::new(&text, &domains, proof);
    Ok((domains, text, site))
}
