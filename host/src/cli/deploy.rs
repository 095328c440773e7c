//! `gatling deploy` and `gatling upgrade`.

use anyhow::Result;
use gatling::project::ProjectName;
use gatling::run::record::new_id;
use gatling::run::{Request, worker};
use gatling::task::Task;

use super::{caller, loaded_for};

/// Deploy a project the first time
///
/// Builds a release of the newest commit of the deploy branch, installs it as a service, starts it,
/// and serves it with nginx. The first push does this by itself; call it to try again what failed.
#[derive(Debug, clap::Args)]
pub(super) struct DeployArgs {
    /// The project
    project: ProjectName,
}

/// Bring a deployed project to the newest commit of its deploy branch
///
/// Every push does this by itself; call it to try again what failed. If the new release doesn't
/// come to life, the old one goes on serving.
#[derive(Debug, clap::Args)]
pub(super) struct UpgradeArgs {
    /// The project
    project: ProjectName,
}

pub(super) fn deploy(args: &DeployArgs) -> Result<u8> {
    submit(&args.project, Task::Deploy)
}

pub(super) fn upgrade(args: &UpgradeArgs) -> Result<u8> {
    submit(&args.project, Task::Upgrade)
}

pub(super) fn submit(project: &ProjectName, task: Task) -> Result<u8> {
    worker::submit(&Request { paths: loaded_for(project, Some(task))?, id: new_id(), task: Some(task), by: caller() })
}
