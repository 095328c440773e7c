//! `gatling plan`.

use anyhow::Result;
use gatling::hooks;
use gatling::plan::Plan;
use gatling::task::Task;
use gatling_config::project::ProjectName;

use super::env::build;
use super::{loaded, print_json_line, say};

/// Show what a task would do, without doing it
///
/// Lists each step with the exact commands that it would run and the hooks that would be called,
/// for the files as they are in the build dir. mix is asked for the project's version and tasks;
/// nothing else is run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// deploy, upgrade or unload [default: what the next push would do]
    task: Option<Task>,
    /// As one JSON object (docs/journal.md describes it)
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let env = build(&loaded(&args.project)?, args.task)?;
    let plan = Plan::new(&env, &hooks::exported(&env)?);
    if args.json {
        print_json_line(&plan)?;
    } else {
        say(&plan.to_string())?;
    }
    Ok(if plan.check().is_err() { super::FAILED } else { 0 })
}
