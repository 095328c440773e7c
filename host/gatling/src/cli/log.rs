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

/// How often the journal is looked at.
const FOLLOW: Duration = Duration::from_millis(50);

/// How long a run may take until it has a journal.
const PATIENCE: Duration = Duration::from_secs(5);

/// Show what happened in a run: a deployment, an upgrade, an unload
///
/// It is made from the run's journal, GATLING_HOME/.gatling/PROJECT/runs/RUN/journal.jsonl, also while
/// the run is under way. For what the app writes, see `gatling logs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// The run's id, or how it begins; `gatling history PROJECT` lists them [default: the latest]
    run: Option<String>,
    /// Go on until the run ends
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    show: ShowArgs,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let runs = runs_of(&args.project)?;
    let id = known_run(&runs, &args.project, args.run.as_deref())?;
    match show(&runs, &id, args) {
        // Whoever read it has seen enough.
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
        // Asked first: what a run writes before it ends is shown.
        let goes_on = follower.is_under_way() || !follower.has_begun() && begun.elapsed() < PATIENCE;
        follower.show_new(&mut *show)?;
        if follower.has_ended() {
            return show.end();
        }
        if !(args.follow && goes_on) {
            break;
        }
        thread::sleep(FOLLOW);
    }
    show.end()?;
    if !follower.is_under_way() {
        return writeln!(io::stderr(), "gatling: the run was killed here: its journal has no end");
    }
    if !args.json_or_follow() {
        writeln!(io::stderr(), "gatling: the run is under way; to go on watching it, add --follow")?;
    }
    Ok(())
}

impl Args {
    fn json_or_follow(&self) -> bool {
        self.show.json || self.follow
    }
}
