//! `gatling worker`: a run, in a process of its own. `gatling` itself calls it.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_config::settings::OperatorSettings;
use gatling_engine::run::{Request, carry_out};
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
    /// Who asks
    #[arg(long)]
    by: String,
    /// The pipeline; for a push, none
    #[arg(long)]
    pipeline: Option<Pipeline>,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let request = Request {
        paths: loaded_for(&args.project, args.pipeline)?,
        id: args.run.clone(),
        pipeline: args.pipeline,
        by: args.by.clone(),
    };
    let runs = Runs::below(&request.paths.state_dir());
    let operator = OperatorSettings::read(&request.paths.roots.config)?;
    let journal = Journal::create(&runs.journal(&request.id), operator.runs.output_bytes())?;
    // The journal says what failed.
    let result = carry_out(&request, &Events::new(journal));
    if let Err(error) = runs.prune(operator.runs.keep) {
        // The run is over, and went as it went.
        eprintln!("gatling: {error:#}");
    }
    Ok(if result.is_ok() { 0 } else { FAILED })
}
