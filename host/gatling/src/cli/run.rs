//! `gatling run`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result, bail};
use gatling_config::project::ProjectName;
use gatling_engine::release::Release;

use super::loaded;

/// Run a command beside the app: in its release's folder, with its environment
///
/// The command gets the variables of the release that serves, your terminal, and the release's bin/
/// first on its PATH, and its exit status is returned. PHX_SERVER is not set: it is not to serve.
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

/// Replaces this process by a program beside the release. Returns only where that is not possible.
pub(super) fn become_program<T>(
    release: &Release,
    program: &str,
    arguments: &[String],
    variables: &[(&str, &str)],
) -> Result<T> {
    let environment = release.environment(std::env::vars_os());
    let Some(path) = release.find(program, &environment) else {
        bail!(
            "there is no program {program} on the PATH or in {}: install it, or give its path",
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
