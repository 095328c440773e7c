//! `gatling restart`.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_engine::run::Goal;

use super::deploy;
use super::show::ShowArgs;

/// Restart the app, with what `gatling config` has set by now
///
/// A copy of the current release takes over, as in an upgrade, so no request is lost. If it does not answer,
/// the current release keeps serving with its old environment. Where nginx cannot switch between two
/// releases, the app is stopped and started. PORT changes only with an upgrade, because
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
