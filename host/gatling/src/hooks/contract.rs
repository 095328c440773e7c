//! The contract in `wit/`, as types of Rust.

use std::path::Path;

use crate::env::Env;
use crate::task::HookPoint;

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "imports",
    additional_derives: [serde::Serialize, serde::Deserialize],
    imports: {
        "gatling:hooks/log.log": trappable,
        "gatling:hooks/process.run": async | trappable,
        "gatling:hooks/variables.get": trappable,
    },
});

pub use self::gatling::hooks::failures::Failure as FailureRecord;
pub use self::gatling::hooks::types::Env as EnvRecord;
pub(super) use self::gatling::hooks::{deployment, failures, log, process, types, variables};

/// The text of the contract.
pub(super) const WIT: &str = include_str!("../../../../wit/hooks.wit");

impl From<&Env> for EnvRecord {
    fn from(env: &Env) -> Self {
        let text = |path: &Path| path.display().to_string();
        Self {
            available_port: env.available_port,
            available_tasks: env.available_tasks.clone(),
            build_dir: text(&env.build_dir),
            built_release_path: text(&env.built_release_path),
            deploy_callback_module: env.deploy_callback_module.as_deref().map(text),
            deploy_dir: text(&env.deploy_dir),
            deploy_path: text(&env.deploy_path),
            domains: env.domains.clone(),
            etc_dir: text(&env.etc_dir),
            etc_path: text(&env.etc_path),
            git_hook_path: text(&env.git_hook_path),
            nginx_available_path: text(&env.nginx_available_path),
            nginx_dir: text(&env.nginx_dir),
            nginx_enabled_path: text(&env.nginx_enabled_path),
            nginx_template: env.nginx_template.clone(),
            project: env.project.clone(),
            releases: env.releases.clone(),
            script_template: env.script_template.clone(),
            upgrade_callback_module: env.upgrade_callback_module.as_deref().map(text),
            upgrade_dir: text(&env.upgrade_dir),
            upgrade_path: text(&env.upgrade_path),
            version: env.version.clone(),
            task: env.task.name().to_owned(),
            commit: env.commit.clone(),
            branch: env.branch.clone(),
            previous_version: env.previous_version.clone(),
            strategy: env.strategy.to_owned(),
            unload_callback_module: env.unload_callback_module.as_deref().map(text),
        }
    }
}

impl From<HookPoint> for deployment::HookPhase {
    fn from(point: HookPoint) -> Self {
        match point {
            HookPoint::Before(_) => Self::Before,
            // The contract's enum can't get another case: that would be another type.
            HookPoint::After(_) | HookPoint::OnFailure => Self::After,
        }
    }
}

/// What the contract 1.0.0 says of a failure already.
impl From<&FailureRecord> for deployment::Failure {
    fn from(failure: &FailureRecord) -> Self {
        Self {
            step: failure.step.clone().unwrap_or_default(),
            hook: failure.hook.clone(),
            message: failure.message.clone(),
        }
    }
}
