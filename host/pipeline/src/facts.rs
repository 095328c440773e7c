//! Facts: everything that is known of one deployment before its first step.

pub mod mix;
pub mod server;

use std::path::{Path, PathBuf};

use gatling_config::domains;
use gatling_config::roots::ProjectPaths;
use gatling_config::settings::{OperatorSettings, ProjectSettings};
use gatling_nginx::Door;
use gatling_nginx::config;
use gatling_nginx::servers::{self, Server};
use gatling_process::Variables;
use serde::Serialize;

use crate::pipeline::Pipeline;
use mix::{MixCall, MixFacts};
use server::ServerFacts;

/// What is deployed: a commit of the deploy branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The commit, in full; empty where the repository has none.
    pub commit: String,
    /// The deploy branch.
    pub branch: String,
}

/// Everything that is known of one deployment before its first step. The serialized fields are those of the env
/// record that hooks get (`wit/hooks.wit` says what each means); the rest is for steps alone.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the contract in wit/ says what each field means")]
pub struct Facts {
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
    #[serde(rename = "task")]
    pub pipeline: Pipeline,
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
    pub mix: MixFacts,
    /// The variables of the project's `.env`.
    #[serde(skip)]
    pub variables: Variables,
    /// How mix is called.
    #[serde(skip)]
    pub mix_call: MixCall,
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

impl Facts {
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

    /// The hooks file of the pipeline, if the project has one.
    #[must_use]
    pub fn hooks_file(&self) -> Option<&Path> {
        match self.pipeline {
            Pipeline::Deploy => self.deploy_callback_module.as_deref(),
            Pipeline::Upgrade => self.upgrade_callback_module.as_deref(),
            Pipeline::Unload => self.unload_callback_module.as_deref(),
        }
    }
}
