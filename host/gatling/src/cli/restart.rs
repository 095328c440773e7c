//! `gatling restart`.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_engine::run::Goal;

use super::deploy;
use super::show::ShowArgs;

/// Restart the app, with what `gatling config` has set by now
///
/// If the environment has changed, a copy of the current release is started with it; if the copy doesn't
/// answer, the release is restored with its old environment. PORT changes only with an upgrade, because
/// nginx's site must change with it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    #[command(flatten)]
    show: ShowArgs,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    deploy::submit(&args.project, Goal::Restart, false, args.show)
}
