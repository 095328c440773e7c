//! `gatling worker`: carries out a run in a separate process. `gatling` itself calls it.

use std::fs;

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_config::settings::OperatorSettings;
use gatling_engine::run::interrupt::Interrupt;
use gatling_engine::run::{Goal, Request, Rollback, carry_out};
use gatling_pipeline::Pipeline;
use gatling_runs::{Events, Journal, Runs};

use super::loaded_for;

/// Carry out a run (gatling calls this itself)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    pub(super) project: ProjectName,
    /// The run's id
    #[arg(long)]
    pub(super) run: String,
    /// The user who begins the run
    #[arg(long)]
    by: String,
    /// What it does: a pipeline, push, restart or recover
    #[arg(long)]
    pub(super) goal: Goal,
    /// The commit that the deploy branch has, or will have with --strict
    #[arg(long)]
    pushed: Option<String>,
    /// Deploy exactly that commit: the deploy branch has this one, or none if this is empty
    #[arg(long)]
    strict: Option<String>,
    /// The release that a rollback goes back to
    #[arg(long)]
    release: Option<String>,
    #[arg(long)]
    past_migrations: bool,
    #[arg(long)]
    migrate_down: bool,
    #[arg(long)]
    no_hooks: bool,
    #[arg(long)]
    no_soak: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let request = Request {
        paths: loaded_for(&args.project, args.goal.is(Pipeline::Unload))?,
        id: args.run.clone(),
        goal: args.goal,
        by: args.by.clone(),
        pushed: args.pushed.clone(),
        strict: args.strict.clone(),
        rollback: Rollback {
            release: args.release.clone(),
            past_migrations: args.past_migrations,
            migrate_down: args.migrate_down,
            no_hooks: args.no_hooks,
        },
        no_soak: args.no_soak,
    };
    let runs = Runs::below(&request.paths.state_dir());
    let operator = OperatorSettings::read(&request.paths.roots.config)?;
    let journal = Journal::create(&runs.journal(&request.id), operator.runs.output_bytes())?;
    let events = Events::new(journal);
    let note = runs.cancelled_by(&request.id);
    let who = move || fs::read_to_string(&note).unwrap_or_else(|_| "a signal".to_owned());
    let interrupt = Interrupt::watch(&request.paths, &events, who)?;
    if let Err(error) = runs.prune(operator.runs.keep) {
        // The run can succeed all the same.
        eprintln!("gatling: {error:#}");
    }
    // The journal says what failed.
    Ok(carry_out(&request, &interrupt, &events).exit_code())
}
