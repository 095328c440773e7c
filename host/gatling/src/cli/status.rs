//! `gatling status`.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_config::roots::Roots;
use gatling_engine::status;
use gatling_report::tables;
use jiff::Timestamp;

use super::{FAILED, loaded, print_json_line, say};

/// Show which release serves and since when, which runs are in progress, and how the last run ended
///
/// Checks the app's process, and requests a page of each host name through nginx. Exits with 0 if
/// visitors of every deployed project are served, and with 1 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project [default: all loaded projects]
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
        say("no project is loaded: start with `gatling load PROJECT`\n")?;
    }
    let mut all_healthy = true;
    for paths in &projects {
        let status = status::look(paths)?;
        all_healthy &= status.healthy;
        if args.json {
            print_json_line(&status)?;
        } else {
            say(&tables::status(&status, Timestamp::now()))?;
        }
    }
    Ok(if all_healthy { 0 } else { FAILED })
}
