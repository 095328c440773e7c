//! `gatling releases`.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_engine::releases;
use gatling_report::tables;

use super::{loaded, print_json_line, say};

/// List the releases that are on the server, the latest first
///
/// The last five that served are kept. `gatling rollback PROJECT RELEASE` goes back to one of them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// One JSON object a line for each release (docs/journal.md describes it)
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let releases = releases::list(&loaded(&args.project)?)?;
    if args.json {
        releases.iter().try_for_each(print_json_line)?;
    } else if releases.is_empty() {
        say(&format!("{} has no releases yet: push to it\n", args.project))?;
    } else {
        say(&tables::releases(&releases))?;
    }
    Ok(0)
}
