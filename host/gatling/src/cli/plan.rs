//! `gatling plan`.

use anyhow::{Result, bail};
use gatling_config::project::ProjectName;
use gatling_engine::hooks;
use gatling_engine::run::Rollback;
use gatling_pipeline::{Pipeline, Plan};

use super::env::facts;
use super::{loaded, print_json_line, say};

/// Show what a pipeline would do, without doing it
///
/// Lists each step with the exact commands that it would run and the hooks that would be called, for
/// the files that are in the build dir now. It changes nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// deploy, upgrade, rollback or unload [default: what the next push would do]
    #[arg(value_name = "PIPELINE")]
    pipeline: Option<Pipeline>,
    /// For a rollback: the release [default: the one that served before the current one]
    #[arg(long, value_name = "RELEASE")]
    to: Option<String>,
    /// For a rollback: as with `gatling rollback`
    #[arg(long, conflicts_with = "migrate_down")]
    past_migrations: bool,
    /// For a rollback: as with `gatling rollback`
    #[arg(long)]
    migrate_down: bool,
    /// As one JSON object (docs/journal.md describes it)
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let is_for_rollback = args.to.is_some() || args.past_migrations || args.migrate_down;
    if is_for_rollback && args.pipeline != Some(Pipeline::Rollback) {
        bail!("--to, --past-migrations and --migrate-down are for a rollback: gatling plan {} rollback", args.project);
    }
    let rollback = Rollback {
        release: args.to.clone(),
        past_migrations: args.past_migrations,
        migrate_down: args.migrate_down,
        no_hooks: false,
    };
    let facts = facts(&loaded(&args.project)?, args.pipeline, &rollback)?;
    let plan = Plan::new(&facts, &hooks::exported(&facts)?);
    if args.json {
        print_json_line(&plan)?;
    } else {
        say(&plan.to_string())?;
    }
    Ok(if plan.check().is_err() { super::FAILED } else { 0 })
}
