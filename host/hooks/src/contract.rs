//! The contract in `wit/`, as Rust types.

use std::sync::LazyLock;

use gatling_names::HookPoint;
use wit_parser::{PackageName, Resolve, Type};

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

/// The text of the contract, `wit/hooks.wit`.
pub const WIT: &str = include_str!("../../../wit/hooks.wit");

/// The contract of this version of Gatling.
pub(crate) struct Contract {
    pub(crate) resolve: Resolve,
    pub(crate) package: PackageName,
    pub(crate) env: Type,
    pub(crate) failure: Type,
}

/// That contract, parsed.
pub(crate) static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    let id = resolve.push_str("hooks.wit", WIT).expect("the contract is well-formed: a test reads it");
    let package = resolve.packages[id].name.clone();
    let record = |interface: &str, name: &str| {
        let interface = resolve.packages[id].interfaces[interface];
        Type::Id(resolve.interfaces[interface].types[name])
    };
    let (env, failure) = (record("types", "env"), record("failures", "failure"));
    Contract { resolve, package, env, failure }
});

/// The contract's version.
#[must_use]
pub fn contract_version() -> String {
    CONTRACT.package.version.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// An empty record, for programs that fill in only some fields.
impl Default for EnvRecord {
    fn default() -> Self {
        Self {
            available_port: 0,
            available_tasks: Vec::new(),
            build_dir: String::new(),
            built_release_path: String::new(),
            deploy_callback_module: None,
            deploy_dir: String::new(),
            deploy_path: String::new(),
            domains: Vec::new(),
            etc_dir: String::new(),
            etc_path: String::new(),
            git_hook_path: String::new(),
            nginx_available_path: String::new(),
            nginx_dir: String::new(),
            nginx_enabled_path: String::new(),
            nginx_template: String::new(),
            project: String::new(),
            releases: Vec::new(),
            script_template: String::new(),
            upgrade_callback_module: None,
            upgrade_dir: String::new(),
            upgrade_path: String::new(),
            version: String::new(),
            task: String::new(),
            commit: String::new(),
            branch: String::new(),
            previous_version: None,
            strategy: String::new(),
            unload_callback_module: None,
        }
    }
}

impl From<&HookPoint> for deployment::HookPhase {
    fn from(point: &HookPoint) -> Self {
        match point {
            HookPoint::Before(_) => Self::Before,
            // A new case in the contract's enum would be a different type, so `on_failure` counts as after.
            HookPoint::After(_) | HookPoint::OnFailure => Self::After,
        }
    }
}

/// The part of a failure that contract 1.0.0 has.
impl From<&FailureRecord> for deployment::Failure {
    fn from(failure: &FailureRecord) -> Self {
        Self {
            step: failure.step.clone().unwrap_or_default(),
            hook: failure.hook.clone(),
            message: failure.message.clone(),
        }
    }
}
