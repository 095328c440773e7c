//! `gatling report`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use gatling_config::project::ProjectName;
use gatling_report::html;
use gatling_runs::{JournalError, Reader};

use super::{known_run, print, runs_of, say};

/// Make an HTML page about a run: a timeline of its steps and hooks, and their output
///
/// The page is a single file that loads nothing from the network. It is written to standard output, or
/// to a file that only you can read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// The run's id or the beginning of it; `gatling history PROJECT` lists them [default: the latest]
    run: Option<String>,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let runs = runs_of(&args.project)?;
    let id = known_run(&runs, &args.project, args.run.as_deref())?;
    if runs.old_log(&id).is_some() && !runs.journal(&id).is_file() {
        bail!(
            "the run {id} has no journal: an older version of gatling wrote only its log. See it with `gatling log {} {id}`",
            args.project
        );
    }
    let (mut entries, mut damaged) = (Vec::new(), 0);
    for entry in Reader::open(&runs.journal(&id))? {
        match entry {
            Ok(entry) => entries.push(entry),
            Err(JournalError::Damaged { .. }) => damaged += 1,
            Err(error) => return Err(error.into()),
        }
    }
    let page = html::page(&entries, damaged)?;
    match &args.out {
        None => print(&page)?,
        Some(file) => {
            use std::os::unix::fs::OpenOptionsExt as _;
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let write = || std::io::Write::write_all(&mut options.open(file)?, page.as_bytes());
            write().with_context(|| format!("cannot write {}", file.display()))?;
            say(&format!("wrote {}\n", file.display()))?;
        }
    }
    Ok(0)
}
