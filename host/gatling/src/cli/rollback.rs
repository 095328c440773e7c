//! `gatling rollback`.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_engine::run::{Goal, Request, Rollback, worker};
use gatling_pipeline::Pipeline;

use super::show::ShowArgs;
use super::{caller, loaded_for};

/// Go back to an older release, without building anything
///
/// It takes over as in an upgrade: where nginx can switch between two releases, no request is lost. If the older release
/// does not serve, the current one keeps serving. It gets the environment that it was deployed with. The next push deploys
/// as usual.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// The release, as listed by `gatling releases` [default: the one that served before the current one]
    release: Option<String>,
    /// Go back although the database has migrations that the release does not know, and leave them there
    #[arg(long, conflicts_with = "migrate_down")]
    past_migrations: bool,
    /// Undo the migrations that the release does not know, once it serves
    #[arg(long)]
    migrate_down: bool,
    /// Skip health.soak: stop the current release as soon as it has finished its requests
    #[arg(long)]
    no_soak: bool,
    /// Do not call the hooks in rollback.wasm
    #[arg(long)]
    no_hooks: bool,
    #[command(flatten)]
    show: ShowArgs,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let paths = loaded_for(&args.project, false)?;
    let rollback = Rollback {
        release: args.release.clone(),
        past_migrations: args.past_migrations,
        migrate_down: args.migrate_down,
        no_hooks: args.no_hooks,
    };
    let request = Request {
        rollback,
        no_soak: args.no_soak,
        ..Request::new(paths, Goal::Pipeline(Pipeline::Rollback), caller())
    };
    worker::submit(&request, &mut *args.show.on_stdout())
}
