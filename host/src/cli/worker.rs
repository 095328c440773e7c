//! `gatling worker`: a run, in a process of its own. `gatling` itself calls it.

use std::io;

use anyhow::Result;
use gatling::project::ProjectName;
use gatling::run::log::RunLog;
use gatling::run::{Request, carry_out};
use gatling::task::Task;

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
    /// The task; for a push, none
    #[arg(long)]
    task: Option<Task>,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let request = Request {
        paths: loaded_for(&args.project, args.task)?,
        id: args.run.clone(),
        task: args.task,
        by: args.by.clone(),
    };
    // The log has said what failed.
    Ok(if carry_out(&request, &RunLog::new(io::stdout())).is_ok() { 0 } else { FAILED })
}
