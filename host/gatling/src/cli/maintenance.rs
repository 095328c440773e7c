//! `gatling maintenance`.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use gatling_config::project::ProjectName;
use gatling_engine::maintenance;

use super::{loaded, say};

/// Turn maintenance on or off: visitors get a page instead of the app
///
/// nginx answers with the page and the status 503, from the next request on; it is not reloaded. The app keeps running,
/// and can be upgraded meanwhile. The operator's file can let addresses through: `nginx.maintenance_allow`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// on or off
    state: Switch,
    /// The page to show: a file with HTML
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Switch {
    On,
    Off,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let paths = loaded(&args.project)?;
    let project = &args.project;
    say(&match args.state {
        Switch::On => {
            maintenance::turn_on(&paths, args.page.as_deref())?;
            format!("visitors of {project} get the maintenance page; to end this: gatling maintenance {project} off\n")
        }
        Switch::Off if maintenance::turn_off(&paths)? => format!("visitors of {project} get the app again\n"),
        Switch::Off => format!("nothing to do: {project} is not in maintenance\n"),
    })?;
    Ok(0)
}
