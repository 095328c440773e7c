//! `gatling deploy` and `gatling upgrade`.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_engine::run::{Request, worker};
use gatling_pipeline::Pipeline;
use gatling_runs::store::new_id;

use super::show::ShowArgs;
use super::{caller, loaded_for};

/// Deploy a project the first time
///
/// Builds a release of the newest commit of the deploy branch, installs it as a service, starts it,
/// and serves it with nginx. The first push does this by itself; call it to try again what failed.
#[derive(Debug, clap::Args)]
pub(super) struct DeployArgs {
    /// The project
    project: ProjectName,
    #[command(flatten)]
    show: ShowArgs,
}

/// Bring a deployed project to the newest commit of its deploy branch
///
/// Every push does this by itself; call it to try again what failed. If the new release doesn't
/// come to life, the old one goes on serving.
#[derive(Debug, clap::Args)]
pub(super) struct UpgradeArgs {
    /// The project
    project: ProjectName,
    #[command(flatten)]
    show: ShowArgs,
}

pub(super) fn deploy(args: &DeployArgs) -> Result<u8> {
    submit(&args.project, Pipeline::Deploy, args.show)
}

pub(super) fn upgrade(args: &UpgradeArgs) -> Result<u8> {
    submit(&args.project, Pipeline::Upgrade, args.show)
}

pub(super) fn submit(project: &ProjectName, pipeline: Pipeline, show: ShowArgs) -> Result<u8> {
    let request =
        Request { paths: loaded_for(project, Some(pipeline))?, id: new_id(), pipeline: Some(pipeline), by: caller() };
    worker::submit(&request, &mut *show.on_stdout())
}
