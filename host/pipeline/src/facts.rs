//! Facts: everything that is known about a deployment before its first step.

pub mod mix;
pub mod rollback;
pub mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use gatling_config::domains;
use gatling_config::paths::ProjectPaths;
use gatling_config::settings::{OperatorSettings, ProjectSettings};
use gatling_config::slot::{Slot, SlotPorts};
use gatling_nginx::Endpoints;
use gatling_nginx::config;
use gatling_nginx::servers::{self, Server};
use gatling_process::Variables;
use serde::Serialize;

use crate::pipeline::Pipeline;
use mix::{MixCall, MixFacts};
use rollback::RollbackFacts;
use server::ServerFacts;

/// What is deployed: a commit of the deploy branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The commit, in full; empty where the repository has none.
    pub commit: String,
    /// The deploy branch.
    pub branch: String,
}

/// Everything that is known about a deployment before its first step. The serialized fields are those of the env
/// record that hooks get (`wit/hooks.wit` says what each means); only steps use the rest.
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

    /// Why this strategy was chosen.
    #[serde(skip)]
    pub strategy_reason: String,
    /// For the strategy `hot`: the facts of what is done if the running release cannot be upgraded in place.
    #[serde(skip)]
    pub otherwise: Option<Box<Facts>>,
    /// How long the new release is watched once it serves.
    #[serde(skip)]
    pub soak: Duration,
    /// The slot of the new release.
    #[serde(skip)]
    pub slot: Slot,
    /// The ports of both slots.
    #[serde(skip)]
    pub ports: SlotPorts,
    /// The paths of the project.
    #[serde(skip)]
    pub paths: ProjectPaths,
    /// The project's settings.
    #[serde(skip)]
    pub settings: ProjectSettings,
    /// The server's settings.
    #[serde(skip)]
    pub operator: OperatorSettings,
    /// What a rollback goes back to; none in other pipelines.
    #[serde(skip)]
    pub rollback: Option<RollbackFacts>,
    /// What mix reported; empty for `rollback` and `unload`, which work without mix.
    #[serde(skip)]
    pub mix: MixFacts,
    /// The variables of the project's `.env`.
    #[serde(skip)]
    pub variables: Variables,
    /// How mix is called.
    #[serde(skip)]
    pub mix_call: MixCall,
    /// The site that visitors use.
    #[serde(skip)]
    pub site: Site,
    /// The state of the server.
    #[serde(skip)]
    pub server: ServerFacts,
    /// Warnings for the user.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// The site that visitors use.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Whether it is the project's own nginx.conf.
    pub is_own: bool,
    /// Its servers, as far as nginx.conf can be parsed.
    pub servers: Vec<Server>,
    /// Host names that visitors use, with one example for each wildcard.
    pub hosts: Vec<String>,
    /// The answer by which Gatling's own site identifies itself; none for the project's own site.
    pub proof: Option<String>,
}

impl Site {
    /// The site with this text, for the host names that the project lists. For `proof`, see [`Site::proof`].
    #[must_use]
    pub fn new(text: &str, domains: &[String], proof: Option<String>) -> Self {
        // If it cannot be parsed, nginx rejects it later with its own message.
        let servers = servers::servers(&config::parse(text, "nginx.conf").unwrap_or_default());
        let hosts = match domains {
            [] => servers::plain_names(&servers),
            domains => domains.iter().map(|domain| domains::example(domain)).collect(),
        };
        Self { is_own: proof.is_none(), servers, hosts, proof }
    }

    /// Where visitors of a host name connect.
    #[must_use]
    pub fn endpoints(&self, host: &str) -> Endpoints {
        servers::endpoints(&self.servers, host)
    }
}

impl Facts {
    /// The release's name on this server: its version, with a number if the same version is already serving.
    #[must_use]
    pub fn release(&self) -> String {
        self.upgrade_dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// If the running release is to be upgraded in place: the facts if that turns out to be impossible.
    #[must_use]
    pub fn instead(&self) -> Option<Self> {
        let Some(rollback) = self.rollback.as_ref().and_then(|rollback| rollback.otherwise.as_deref()) else {
            return self.otherwise.as_deref().cloned();
        };
        let upgrade_dir = self.paths.releases_dir().join(&rollback.release);
        Some(Self {
            strategy: rollback.strategy().name(),
            available_port: rollback.place.port,
            upgrade_path: upgrade_dir.join(self.paths.name.as_str()),
            upgrade_dir,
            rollback: Some(rollback.clone()),
            ..self.clone()
        })
    }

    /// The deploy dir if it exists, otherwise the root folder: an interrupted `unload` may have removed it.
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
            Pipeline::Rollback => self.rollback.as_ref()?.hooks_file.as_deref(),
            Pipeline::Unload => self.unload_callback_module.as_deref(),
        }
    }
}
