//! `gatling hooks wit`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use gatling_authoring::CONTRACT;

use crate::cli::print;

/// Print the contract between hooks and gatling, or write it into a folder
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write it as DIR/hooks.wit instead; the folder is made if it is missing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace a DIR/hooks.wit that is different
    #[arg(long, requires = "out")]
    force: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let Some(folder) = &args.out else {
        print(CONTRACT)?;
        return Ok(0);
    };
    let file = folder.join("hooks.wit");
    match fs::read(&file) {
        Ok(old) if old == CONTRACT.as_bytes() => {
            print(&format!("{} is this contract already\n", file.display()))?;
            return Ok(0);
        }
        Ok(_) if !args.force => {
            bail!("{} is there already, and is different: to replace it, add --force", file.display())
        }
        _ => {}
    }
    let cannot = || format!("cannot write {}", file.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    fs::write(&file, CONTRACT).with_context(cannot)?;
    print(&format!("wrote {}\n", file.display()))?;
    Ok(0)
}
