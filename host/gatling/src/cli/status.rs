//! `gatling status`.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use gatling_config::paths::ProjectPaths;
use gatling_config::project::ProjectName;
use gatling_config::roots::Roots;
use gatling_engine::run::follow::Show;
use gatling_engine::run::repository::Repository;
use gatling_engine::run::{Goal, Request, recovery, worker};
use gatling_engine::status::{self, Deployment};
use gatling_report::tables;
use gatling_report::text::short;
use gatling_runs::{Entry, Event, JournalError, Level, Outcome};
use jiff::Timestamp;

use super::{FAILED, caller, loaded, print_json_line, say};

/// How often to check whether the deployment of a commit has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long after a push its run may take to begin.
const RUN_BEGINS: Duration = Duration::from_secs(10);

/// Show what serves and since when, what is in progress, and how the last run ended
///
/// Checks the app's process, and requests a page of each host name through nginx. If a run was killed
/// while it changed the release or the site, this is completed or undone first. Exits with 0 if
/// visitors of every deployed project are served, and with 1 if not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project [default: all loaded projects]
    project: Option<ProjectName>,
    /// Wait until the deployment of this commit has ended; exit with 0 if it serves, with 1 if it does
    /// not, and with 3 if a newer commit was deployed instead
    #[arg(long, value_name = "COMMIT", requires = "project")]
    wait: Option<String>,
    /// One JSON object a line for each project (docs/journal.md describes it)
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let projects = match &args.project {
        Some(project) => vec![loaded(project)?],
        None => {
            let roots = Roots::from_environment()?;
            roots.loaded_projects().iter().map(|name| roots.project(name)).collect()
        }
    };
    if projects.is_empty() && !args.json {
        say("no project is loaded: start with `gatling load PROJECT`\n")?;
    }
    let waited = match (&args.wait, projects.as_slice()) {
        (Some(commit), [paths]) => Some(wait(paths, commit)?),
        _ => None,
    };
    let mut all_healthy = true;
    for paths in &projects {
        if recovery::is_needed(paths) {
            // What serves can be told all the same.
            if let Err(error) = recover(paths) {
                say_aside(&format!("{error:#}"));
            }
        }
        let status = status::look(paths)?;
        all_healthy &= status.healthy;
        if args.json {
            print_json_line(&status)?;
        } else {
            say(&tables::status(&status, Timestamp::now()))?;
        }
    }
    Ok(waited.unwrap_or(if all_healthy { 0 } else { FAILED }))
}

/// Waits until the deployment of a commit has ended, and returns the exit code.
fn wait(paths: &ProjectPaths, commit: &str) -> Result<u8> {
    let commit = Repository::at(&paths.build_dir()).resolve(commit)?;
    let begun = Instant::now();
    loop {
        let (code, said) = match status::deployment(paths, &commit)? {
            Deployment::UnderWay => (None, String::new()),
            Deployment::Unknown if begun.elapsed() < RUN_BEGINS => (None, String::new()),
            Deployment::Unknown => (Some(FAILED), "no run has tried to deploy it".to_owned()),
            Deployment::Serves => (Some(0), "it serves".to_owned()),
            Deployment::Failed(run) => {
                (Some(FAILED), format!("it does not serve: see `gatling log {} {run}`", paths.name))
            }
            Deployment::Superseded => {
                (Some(Outcome::Superseded.exit_code()), "a newer commit was pushed or deployed instead".to_owned())
            }
        };
        if let Some(code) = code {
            eprintln!("gatling: {} {}: {said}", paths.name, short(&commit));
            return Ok(code);
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Completes or undoes what a run was changing when it was killed.
fn recover(paths: &ProjectPaths) -> Result<()> {
    let request = Request::new(paths.clone(), Goal::Recover, caller());
    worker::submit(&request, &mut Notes).map(drop)
}

/// Shows notes and errors on standard error.
struct Notes;

impl Show for Notes {
    fn show(&mut self, entry: &Entry) -> std::io::Result<()> {
        match &entry.event {
            Event::Note { level: Level::Info | Level::Warning | Level::Error, text } => say_aside(text),
            Event::Ended { error, .. } if !error.is_empty() => say_aside(&error.join(": ")),
            _ => {}
        }
        Ok(())
    }

    fn damaged(&mut self, error: &JournalError) -> std::io::Result<()> {
        say_aside(&error.to_string());
        Ok(())
    }
}

fn say_aside(text: &str) {
    eprintln!("gatling: {}", gatling_text::escape(&super::redacted(text)));
}
