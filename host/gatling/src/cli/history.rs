//! `gatling history`.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_report::tables;
use serde_json::json;

use super::{print_json_line, runs_of, say};

/// List the runs of a project, the latest first
///
/// The operator's file sets how many are kept: `runs.keep`. `gatling log PROJECT RUN` shows
/// one of them, and `gatling report PROJECT RUN` makes an HTML page about it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// How many runs to list
    #[arg(short = 'n', long, value_name = "RUNS", default_value_t = 20)]
    number: usize,
    /// One JSON object a line for each run (docs/journal.md describes it)
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let runs = runs_of(&args.project)?.latest(args.number)?;
    if !args.json {
        say(&if runs.is_empty() {
            format!("{} has no runs yet: push to it, or run `gatling deploy {0}`\n", args.project)
        } else {
            tables::history(&runs)
        })?;
        return Ok(0);
    }
    for (id, run) in &runs {
        match run {
            Ok(run) => print_json_line(run)?,
            Err(error) => print_json_line(&json!({ "id": id, "unreadable": error.to_string() }))?,
        }
    }
    Ok(0)
}
