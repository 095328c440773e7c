//! `gatling compile`: compiles a hooks file in a separate process. `gatling` itself calls it.

use std::path::PathBuf;

use anyhow::Result;
use gatling_config::roots::Roots;
use gatling_config::settings::OperatorSettings;
use gatling_hook_host::compile;

/// Compile a hooks file into the cache (gatling calls this itself)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of compiled hooks
    cache: PathBuf,
    /// The hooks file
    file: PathBuf,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let operator = OperatorSettings::read(&Roots::from_environment()?.config)?;
    let Err(error) = compile::in_process(&args.file, &args.cache, operator.cache.keep) else { return Ok(0) };
    eprintln!("gatling: {error:#}");
    Ok(compile::exit_status(&error))
}
