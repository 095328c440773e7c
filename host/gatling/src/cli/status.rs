//! `gatling status`.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_config::roots::Roots;
use gatling_engine::status;
use gatling_report::tables;
use jiff::Timestamp;

use super::{FAILED, loaded, print_json_line, say};

/// Show what serves now and since when, what is running, and how the last run ended
///
/// What serves is asked at this moment: the app's process, and a request for each host name through
/// nginx. Exits with 0 where visitors of every project that is deployed are served, and with 1 where
/// they aren't.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project [default: all that are loaded]
    project: Option<ProjectName>,
    /// One JSON object a line for each project (docs/journal.md describes it)
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let projects = match &args.project {
        Some(project) => vec![loaded(project)?],
        None => {
            let roots = Roots::from_environment()?;
            roots.loaded_projects().iter().map(|name| roots.project(name)).collect()
        }
    };
    if projects.is_empty() && !args.json {
        say("no project is loaded: begin with `gatling load PROJECT`\n")?;
    }
    let mut all_are_well = true;
    for paths in &projects {
        let status = status::look(paths)?;
        all_are_well &= status.healthy;
        if args.json {
            print_json_line(&status)?;
        } else {
            say(&tables::status(&status, Timestamp::now()))?;
        }
    }
    Ok(if all_are_well { 0 } else { FAILED })
}
