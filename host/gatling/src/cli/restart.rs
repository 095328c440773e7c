//! `gatling restart`.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_engine::run::Goal;

use super::deploy;
use super::show::ShowArgs;

/// Restart the app, with what `gatling config` has set by now
///
/// Where the environment has changed, the release that serves is copied and started with the new
/// one; if that doesn't answer, the release is put back with the environment that it had. PORT
/// changes with an upgrade only, because nginx has to follow.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    #[command(flatten)]
    show: ShowArgs,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    deploy::submit(&args.project, Goal::Restart, args.show)
}
