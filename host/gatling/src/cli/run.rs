//! `gatling run`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result, bail};
use gatling_config::project::ProjectName;
use gatling_engine::release::Release;

use super::loaded;

/// Run a command next to the app: in its release's folder, with its environment
///
/// The command gets the environment variables of the current release, your terminal, and the release's
/// bin/ first on its PATH. `gatling run` exits with the command's exit status. PHX_SERVER is not set, so
/// the command does not start the web server.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gatling run shop -- shop eval 'IO.puts(node())'\n  \
                        gatling run shop -- shop rpc 'Shop.Reports.send()'\n  gatling run shop -- sh")]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// The command with its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let release = Release::current(&loaded(&args.project)?)?;
    let (program, arguments) = args.command.split_first().context("a command has a program")?;
    become_program(&release, program, arguments, &[])
}

/// Replaces this process with a program that runs next to the app. Returns only if that fails.
pub(super) fn become_program<T>(
    release: &Release,
    program: &str,
    arguments: &[String],
    variables: &[(&str, &str)],
) -> Result<T> {
    let environment = release.environment(std::env::vars_os());
    let Some(path) = release.find(program, &environment) else {
        bail!(
            "the program {program} is not on the PATH or in {}: install it, or give its path",
            release.dir.join("bin").display()
        );
    };
    let error = Command::new(&path)
        .arg0(program)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .envs(variables.iter().copied())
        .current_dir(&release.dir)
        .exec();
    Err(error).with_context(|| format!("cannot run {}", path.display()))
}
