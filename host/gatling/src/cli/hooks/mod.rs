//! `gatling hooks`: what authors of hooks work with.

mod build;
mod check;
mod new;
mod run;
mod wit;

use anyhow::Result;
use clap::Subcommand;

/// Write hooks, build them, and look at what they are
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::Args),
    Build(build::Args),
    Check(check::Args),
    Run(run::Args),
    Wit(wit::Args),
}

pub(super) fn main(args: &Args) -> Result<u8> {
    match &args.command {
        Command::New(args) => new::main(args),
        Command::Build(args) => build::main(args),
        Command::Check(args) => check::main(args),
        Command::Run(args) => run::main(args),
        Command::Wit(args) => wit::main(args),
    }
}
