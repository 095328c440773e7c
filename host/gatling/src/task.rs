//! The pipelines. Everything that lists steps (plan, check, the docs, the SDK's check of names)
//! reads these tables.

use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use serde::Serialize;

use crate::env::Env;
use crate::steps::{Action, migrate, mix, nginx, release, removal, service};
use gatling_runs::ON_FAILURE;

/// One named action of a task.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Its name, which its hooks are named after.
    pub name: &'static str,
    /// What it does by default, for people.
    pub does: &'static str,
    /// What it would do now: a function that only looks.
    pub actions: fn(&Env) -> Result<Vec<Action>>,
}

const fn step(name: &'static str, does: &'static str, actions: fn(&Env) -> Result<Vec<Action>>) -> Step {
    Step { name, does, actions }
}

const DEPLOY: &[Step] = &[
    step("mix_deps_get", "fetch the dependencies", mix::deps_get),
    step("mix_compile", "compile the project", mix::compile),
    step("mix_digest", "build and digest static assets", mix::digest),
    step("mix_release", "build the release", mix::release),
    step("make_deploy_dir", "make the folders of the deployed app", release::make_deploy_dir),
    step("copy_release_to_deploy", "pack the release into the deploy dir", release::copy_to_deploy),
    step("expand_release", "unpack it, and make it the current one", release::expand),
    step("install_init_script", "install the service", service::install),
    step("mix_ecto_setup", "create and migrate the database", migrate::ecto_setup),
    step("start_service", "start the app, and wait until it answers", service::start),
    step("configure_nginx", "serve the project's domains", nginx::configure),
];

const UPGRADE: &[Step] = &[
    step("mix_deps_get", "fetch the dependencies", mix::deps_get),
    step("mix_compile", "compile the project", mix::compile),
    step("mix_digest", "build and digest static assets", mix::digest),
    step("mix_release", "build the release", mix::release),
    step("make_upgrade_dir", "make the folder of the new release", release::make_upgrade_dir),
    step("copy_release_to_upgrade", "copy the release into it", release::copy_to_upgrade),
    step("upgrade_service", "bring it to life, and prove that it answers", service::upgrade),
    step("configure_nginx", "serve the project's domains", nginx::configure),
];

const UNLOAD: &[Step] = &[
    step("stop_service", "stop the app", service::stop),
    step("remove_init_script", "remove the service", service::remove_init_script),
    step("unconfigure_nginx", "stop serving the project's domains", nginx::unconfigure),
    step("remove_deploy_dir", "remove the deployed app", removal::deploy_dir),
    step("remove_build_dir", "remove the repository", removal::build_dir),
];

/// A pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// The first time.
    Deploy,
    /// Every push after.
    Upgrade,
    /// Taking the project off the server.
    Unload,
}

impl Task {
    /// All tasks, in the order of a project's life.
    pub const ALL: [Self; 3] = [Self::Deploy, Self::Upgrade, Self::Unload];

    /// The task's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Upgrade => "upgrade",
            Self::Unload => "unload",
        }
    }

    /// The task's steps, in order.
    #[must_use]
    pub fn steps(self) -> &'static [Step] {
        match self {
            Self::Deploy => DEPLOY,
            Self::Upgrade => UPGRADE,
            Self::Unload => UNLOAD,
        }
    }

    /// The name of the file in the project's root that holds the task's hooks.
    #[must_use]
    pub fn hooks_file(self) -> String {
        format!("{}.wasm", self.name())
    }

    /// The task's hooks, in the order they would be called; last the one for a failure, which can come
    /// at any time.
    pub fn hooks(self) -> impl Iterator<Item = Hook> {
        let around = self.steps().iter().flat_map(|step| HookPoint::AROUND.map(|point| point(step.name)));
        around.chain([HookPoint::OnFailure]).map(move |point| Hook { task: self, point })
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|task| task.name() == name)
            .ok_or_else(|| format!("there is no task {name:?}: the tasks are deploy, upgrade and unload"))
    }
}

/// Where in a pipeline a hook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HookPoint {
    /// Before this step.
    Before(&'static str),
    /// After this step, when it went well.
    After(&'static str),
    /// When the run fails or is cancelled.
    OnFailure,
}

impl HookPoint {
    /// The points around a step, in order.
    const AROUND: [fn(&'static str) -> Self; 2] = [Self::Before, Self::After];

    /// The step that it belongs to, if it belongs to one.
    #[must_use]
    pub fn step(self) -> Option<&'static str> {
        match self {
            Self::Before(step) | Self::After(step) => Some(step),
            Self::OnFailure => None,
        }
    }

    /// On which side of its step it is, if it belongs to one: `before` or `after`.
    #[must_use]
    pub fn phase(self) -> Option<&'static str> {
        match self {
            Self::Before(_) => Some("before"),
            Self::After(_) => Some("after"),
            Self::OnFailure => None,
        }
    }
}

/// A function that the hooks file of a task can export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hook {
    /// The task whose hooks file it is in.
    pub task: Task,
    /// Where it is called.
    pub point: HookPoint,
}

impl Hook {
    /// Its name as people write it: `before_mix_compile`.
    #[must_use]
    pub fn name(self) -> String {
        match self.point {
            HookPoint::Before(step) => format!("before_{step}"),
            HookPoint::After(step) => format!("after_{step}"),
            HookPoint::OnFailure => ON_FAILURE.to_owned(),
        }
    }

    /// Its name as a component exports it: `before-mix-compile`.
    #[must_use]
    pub fn export(self) -> String {
        self.name().replace('_', "-")
    }

    /// Where it is called, for people: `before mix_compile`.
    #[must_use]
    pub fn place(self) -> String {
        match self.point {
            HookPoint::Before(step) => format!("before {step}"),
            HookPoint::After(step) => format!("after {step}"),
            HookPoint::OnFailure => "when the run fails".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_knows_the_same_hooks_as_the_pipelines_in_the_same_order() {
        let listed = include_str!("../../../guest-sdk/macros/hooks.txt");
        let hooks: String = Task::ALL
            .iter()
            .flat_map(|task| task.hooks())
            .map(|hook| format!("{} {}\n", hook.task, hook.name()))
            .collect();
        assert_eq!(listed, hooks, "guest-sdk/macros/hooks.txt is to hold the right-hand side");
    }

    #[test]
    fn every_task_has_one_hook_for_a_failure() {
        for task in Task::ALL {
            let hooks: Vec<_> = task.hooks().filter(|hook| hook.point == HookPoint::OnFailure).collect();
            assert_eq!(hooks, [Hook { task, point: HookPoint::OnFailure }]);
            assert_eq!((hooks[0].name().as_str(), hooks[0].export().as_str()), ("on_failure", "on-failure"));
        }
    }

    #[test]
    fn every_step_has_a_name_that_can_be_an_export() {
        for step in Task::ALL.iter().flat_map(|task| task.steps()) {
            assert!(step.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", step.name);
        }
    }
}
