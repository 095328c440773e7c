//! `gatling compile`: the code of a hooks file, made in a process of its own. `gatling` itself
//! calls it.

use std::path::PathBuf;

use anyhow::Result;
use gatling::hooks::compile;
use gatling_config::roots::Roots;
use gatling_config::settings::OperatorSettings;

/// Compile a hooks file into the cache (gatling calls this itself)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The hooks file
    file: PathBuf,
    /// The folder of compiled hooks
    #[arg(long)]
    cache: PathBuf,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let operator = OperatorSettings::read(&Roots::from_environment()?.config)?;
    compile::here(&args.file, &args.cache, operator.cache.keep)?;
    Ok(0)
}
