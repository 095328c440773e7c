//! `gatling log`.

use std::fs;
use std::io::{self, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gatling_config::project::ProjectName;
use gatling_engine::run::follow::Follower;
use gatling_runs::Runs;
use gatling_text::escape;

use super::show::ShowArgs;
use super::{known_run, runs_of};

/// How often the journal is read.
const FOLLOW: Duration = Duration::from_millis(50);

/// How long a run may take to create its journal.
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Show what happened in a run: a deployment, an upgrade, an unload
///
/// The output comes from the run's journal, GATLING_HOME/.gatling/PROJECT/runs/RUN/journal.jsonl, also
/// while the run is in progress. To see what the app itself writes, use `gatling logs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// The run's id or the beginning of it; `gatling history PROJECT` lists them [default: the latest]
    run: Option<String>,
    /// Keep watching until the run ends
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    show: ShowArgs,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let runs = runs_of(&args.project)?;
    let id = known_run(&runs, &args.project, args.run.as_deref())?;
    match show(&runs, &id, args) {
        // The reader has closed the output, for example `head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        result => result.map(|()| 0).context("cannot show the log"),
    }
}

fn show(runs: &Runs, id: &str, args: &Args) -> io::Result<()> {
    if let Some(old) = runs.old_log(id).filter(|_| !runs.journal(id).is_file()) {
        let text = fs::read(old)?;
        return io::stdout().lock().write_all(escape(&String::from_utf8_lossy(&text)).as_bytes());
    }
    let mut show = args.show.on_stdout();
    let mut follower = Follower::new(&runs.journal(id));
    let begun = Instant::now();
    loop {
        // Checked first, so that the last events of a run that ends now are still shown.
        let is_in_progress = follower.is_under_way() || !follower.has_begun() && begun.elapsed() < JOURNAL_TIMEOUT;
        follower.show_new(&mut *show)?;
        if follower.has_ended() {
            return show.end();
        }
        if !(args.follow && is_in_progress) {
            break;
        }
        thread::sleep(FOLLOW);
    }
    show.end()?;
    if !follower.is_under_way() {
        return writeln!(io::stderr(), "gatling: the run was killed at this point: its journal has no end event");
    }
    if !args.json_or_follow() {
        writeln!(io::stderr(), "gatling: the run is in progress; to keep watching it, add --follow")?;
    }
    Ok(())
}

impl Args {
    fn json_or_follow(&self) -> bool {
        self.show.json || self.follow
    }
}
