//! `gatling receive`: called by the git hook `post-update`.

use anyhow::Result;
use gatling_config::project::ProjectName;
use gatling_engine::run::repository::Repository;
use gatling_engine::run::{Goal, Request, worker};
use gatling_runs::store::new_id;

use super::show::ShowArgs;
use super::{caller, loaded, say};

/// Deploy what was pushed, if it is the deploy branch (the git hook post-update calls this)
///
/// Deploys the project the first time and upgrades it after that. Other branches, tags and deletions
/// are ignored with a message.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// The refs that were pushed, such as refs/heads/main
    #[arg(value_name = "REF")]
    refs: Vec<String>,
    #[command(flatten)]
    show: ShowArgs,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let paths = loaded(&args.project)?;
    let repository = Repository::at(&paths.build_dir());
    let branch = repository.branch();
    let deploy_ref = format!("refs/heads/{branch}");
    let mut deploy = false;
    for name in &args.refs {
        if *name != deploy_ref {
            say(&format!(
                "gatling: {name} is not the deploy branch of {project} ({branch}), so nothing is deployed{}\n",
                match name.strip_prefix("refs/heads/") {
                    Some(other) => format!(
                        ". To deploy it instead, run on the server: gatling load {} --branch {other}",
                        args.project
                    ),
                    None => String::new(),
                },
                project = args.project,
            ))?;
        } else if repository.tips(&branch)?.branch.is_none() {
            say(&format!("gatling: the deploy branch {branch} was deleted: the deployed release does not change\n"))?;
        } else {
            deploy = true;
        }
    }
    if args.refs.is_empty() {
        say("gatling: no refs were given: nothing is deployed\n")?;
    }
    if !deploy {
        return Ok(0);
    }
    worker::submit(&Request { paths, id: new_id(), goal: Goal::Push, by: caller() }, &mut *args.show.on_stdout())
}
