//! `gatling compile`: the code of a hooks file, made in a process of its own. `gatling` itself
//! calls it.

use std::path::PathBuf;

use anyhow::Result;
use gatling::hooks::compile;

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
    compile::here(&args.file, &args.cache)?;
    Ok(0)
}
