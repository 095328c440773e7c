//! `gatling worker`: carries out a run in a separate process. `gatling` itself calls it.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_config::settings::OperatorSettings;
use gatling_engine::run::{Goal, Request, carry_out};
use gatling_pipeline::Pipeline;
use gatling_runs::{Events, Journal, Runs};

use super::{FAILED, loaded_for};

/// Carry out a run (gatling calls this itself)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// The run's id
    #[arg(long)]
    run: String,
    /// The user who begins the run
    #[arg(long)]
    by: String,
    /// What it does: a pipeline, push or restart
    #[arg(long)]
    goal: Goal,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let request = Request {
        paths: loaded_for(&args.project, args.goal.is(Pipeline::Unload))?,
        id: args.run.clone(),
        goal: args.goal,
        by: args.by.clone(),
    };
    let runs = Runs::below(&request.paths.state_dir());
    let operator = OperatorSettings::read(&request.paths.roots.config)?;
    let journal = Journal::create(&runs.journal(&request.id), operator.runs.output_bytes())?;
    // The journal says what failed.
    let result = carry_out(&request, &Events::new(journal));
    if let Err(error) = runs.prune(operator.runs.keep) {
        // This does not change the outcome of the run.
        eprintln!("gatling: {error:#}");
    }
    Ok(if result.is_ok() { 0 } else { FAILED })
}
