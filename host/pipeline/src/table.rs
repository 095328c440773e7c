//! The table of steps. Everything that lists steps (plan, check, the docs, the SDK's check of names) uses it; no
//! other code contains their names.

use anyhow::Result;
use gatling_names::{Hook, Name};

use crate::action::Action;
use crate::facts::Facts;
use crate::pipeline::Pipeline;
use crate::steps::{install, migrate, mix, nginx, release, removal, rollback, service};

/// A named step of a pipeline.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its name, which its hooks are named after.
    pub name: Name,
    /// What it does, for users.
    pub does: &'static str,
    /// Its actions, given these facts.
    pub actions: fn(&Facts) -> Result<Vec<Action>>,
}

const fn step(name: &'static str, does: &'static str, actions: fn(&Facts) -> Result<Vec<Action>>) -> Step {
    Step { name: Name::literal(name), does, actions }
}

const DEPLOY: &[Step] = &[
    step("mix_deps_get", "fetch the dependencies", mix::deps_get),
    step("mix_compile", "compile the project", mix::compile),
    step("mix_digest", "build and digest static assets", mix::digest),
    step("mix_release", "build the release", mix::release),
    step("make_deploy_dir", "make the folders of the deployed app", release::make_deploy_dir),
    step("copy_release_to_deploy", "pack the release into the deploy dir", release::copy_to_deploy),
    step("expand_release", "unpack it", release::expand),
    step("install_init_script", "install the service", service::install),
    step("mix_ecto_setup", "create and migrate the database", migrate::ecto_setup),
    step("start_service", "start the app and wait until it answers", service::start),
    step("configure_nginx", "serve the project's domains", nginx::configure),
];

const UPGRADE: &[Step] = &[
    step("mix_deps_get", "fetch the dependencies", mix::deps_get),
    step("mix_compile", "compile the project", mix::compile),
    step("mix_digest", "build and digest static assets", mix::digest),
    step("mix_release", "build the release", mix::release),
    step("make_upgrade_dir", "make the folder of the new release", release::make_upgrade_dir),
    step("copy_release_to_upgrade", "copy the release into that folder", release::copy_to_upgrade),
    step("upgrade_service", "migrate, switch to the new release, and check that it answers", service::upgrade),
    step("configure_nginx", "serve the project's domains", nginx::configure),
];

const ROLLBACK: &[Step] = &[
    step("copy_release_to_rollback", "copy the older release, unless it can run where it ran before", rollback::copy),
    step("rollback_service", "switch to the older release, and check that it answers", rollback::switch),
    step(
        "undo_migrations",
        "undo the migrations that it does not know, if that was asked for",
        rollback::undo_migrations,
    ),
];

const UNLOAD: &[Step] = &[
    step("stop_service", "stop the app", service::stop),
    step("remove_init_script", "remove the service", install::remove_init_script),
    step("unconfigure_nginx", "stop serving the project's domains", nginx::unconfigure),
    step("remove_deploy_dir", "remove the deployed app", removal::deploy_dir),
    step("remove_build_dir", "remove the repository", removal::build_dir),
];

impl Pipeline {
    /// Its steps, in order.
    #[must_use]
    pub fn steps(self) -> &'static [Step] {
        match self {
            Self::Deploy => DEPLOY,
            Self::Upgrade => UPGRADE,
            Self::Rollback => ROLLBACK,
            Self::Unload => UNLOAD,
        }
    }

    /// Its hooks, in the order in which they are called; `on_failure` is the last.
    #[must_use]
    pub fn hooks(self) -> Vec<Hook> {
        Hook::of_pipeline(&self.name(), self.steps().iter().map(|step| step.name.clone())).collect()
    }

    /// The hooks of all pipelines.
    #[must_use]
    pub fn all_hooks() -> Vec<Hook> {
        Self::ALL.into_iter().flat_map(Self::hooks).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_list_of_the_sdk_matches_the_pipelines_hooks_in_order() {
        let listed = include_str!("../../../guest-sdk/macros/hooks.txt");
        let hooks: String =
            Pipeline::all_hooks().iter().map(|hook| format!("{} {}\n", hook.pipeline, hook.name())).collect();
        assert_eq!(listed, hooks, "guest-sdk/macros/hooks.txt must contain the right-hand side");
    }
}
