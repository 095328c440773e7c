//! `gatling deploy` and `gatling upgrade`.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_engine::run::repository::Repository;
use gatling_engine::run::{Goal, Request, worker};
use gatling_pipeline::Pipeline;

use super::show::ShowArgs;
use super::{caller, loaded_for};

/// Deploy a project for the first time
///
/// Builds a release of the newest commit of the deploy branch, installs it as a service, starts it,
/// and serves it with nginx. The first push does this automatically; use this command to try again
/// after a failure.
#[derive(Debug, clap::Args)]
pub(super) struct DeployArgs {
    /// The project
    project: ProjectName,
    #[command(flatten)]
    show: ShowArgs,
}

/// Upgrade a deployed project to the newest commit of its deploy branch
///
/// Every push does this automatically; use this command to try again after a failure. If the new
/// release does not work, the old one keeps serving.
#[derive(Debug, clap::Args)]
pub(super) struct UpgradeArgs {
    /// The project
    project: ProjectName,
    /// Skip health.soak: stop the old release as soon as it has finished its requests
    #[arg(long)]
    no_soak: bool,
    /// Only build the pushed commit, and print how the running release could be upgraded to it in
    /// place (`strategy = "hot"`). What serves stays as it is, and no hook is called
    #[arg(long, conflicts_with = "no_soak")]
    explain: bool,
    #[command(flatten)]
    show: ShowArgs,
}

pub(super) fn deploy(args: &DeployArgs) -> Result<u8> {
    submit(&args.project, Goal::Pipeline(Pipeline::Deploy), false, args.show)
}

pub(super) fn upgrade(args: &UpgradeArgs) -> Result<u8> {
    let goal = if args.explain { Goal::Explain } else { Goal::Pipeline(Pipeline::Upgrade) };
    submit(&args.project, goal, args.no_soak, args.show)
}

/// Starts a worker that carries out a run, and shows the run.
pub(super) fn submit(project: &ProjectName, goal: Goal, no_soak: bool, show: ShowArgs) -> Result<u8> {
    let paths = loaded_for(project, goal.is(Pipeline::Unload))?;
    let pushed = goal.deploys().then(|| Repository::at(&paths.build_dir()).latest()).flatten();
    let request = Request { pushed, no_soak, ..Request::new(paths, goal, caller()) };
    worker::submit(&request, &mut *show.on_stdout())
}
