//! `gatling unload`.

use std::io::{self, BufRead as _, IsTerminal as _};

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_engine::run::Goal;
use gatling_pipeline::Pipeline;

use super::show::ShowArgs;
use super::{UsageError, deploy, loaded_for, say};

/// Remove a project from this server
///
/// Stops the app and removes its service, its site, its releases with their configuration, and its
/// repository. The database is kept. The logs of its runs stay in GATLING_HOME/.gatling.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    show: ShowArgs,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let paths = loaded_for(&args.project, true)?;
    if !args.yes {
        if !io::stdin().is_terminal() {
            return Err(UsageError(format!(
                "standard input is not a terminal, so Gatling cannot ask for confirmation; to remove {}, add --yes",
                args.project
            ))
            .into());
        }
        say(&format!(
            "This removes {} from this server:\n  {}\n  {}  (releases, .env, logs of the app)\n  {}\n  {}\n\
             Its database is kept. Continue? [y/N] ",
            args.project,
            paths.build_dir().display(),
            paths.deploy_dir().display(),
            paths.init_script().display(),
            paths.nginx_available().display(),
        ))?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            say("Nothing was removed.\n")?;
            return Ok(super::FAILED);
        }
    }
    deploy::submit(&args.project, Goal::Pipeline(Pipeline::Unload), false, args.show)
}
