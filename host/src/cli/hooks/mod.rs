//! `gatling hooks`: what authors of hooks work with.

mod check;
mod run;

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
    Check(check::Args),
    Run(run::Args),
}

pub(super) fn main(args: &Args) -> Result<u8> {
    match &args.command {
        Command::Check(args) => check::main(args),
        Command::Run(args) => run::main(args),
    }
}
