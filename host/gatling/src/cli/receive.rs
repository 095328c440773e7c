//! `gatling receive`: called by the git hooks `post-update` and `pre-receive`.

use std::ffi::OsString;
use std::io::{self, BufRead as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use gatling_config::paths::ProjectPaths;
use gatling_config::project::ProjectName;
use gatling_engine::run::repository::Repository;
use gatling_engine::run::{Goal, Request, worker};
use gatling_engine::{serving, status};
use gatling_report::text::short;

use super::show::ShowArgs;
use super::{caller, loaded, say};

/// How many refs that are not deployed are named.
const MAX_NAMED: usize = 3;

/// Deploy what was pushed to the deploy branch (the git hook post-update calls this)
///
/// Deploys the project the first time and upgrades it after that. Other branches, tags and deletions
/// are ignored with a message. If a commit of the deploy branch was pushed before and no run has ever
/// deployed it, it is deployed whatever was pushed now.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// The refs that were pushed, such as refs/heads/main
    #[arg(value_name = "REF")]
    refs: Vec<OsString>,
    /// Deploy before git updates the refs, which it reads from standard input, one `OLD NEW REF` a line;
    /// exit with 1 if that fails (the git hook pre-receive calls this)
    #[arg(long, conflicts_with = "refs")]
    strict: bool,
    /// The folder with the pushed objects, until git accepts them
    #[arg(long, requires = "strict", hide = true)]
    quarantine: Option<PathBuf>,
    #[command(flatten)]
    show: ShowArgs,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let paths = loaded(&args.project)?;
    let repository = Repository::at(&paths.build_dir());
    let branch = repository.branch();
    let deploy_ref = format!("refs/heads/{branch}");
    if args.strict {
        return before_update(args, paths, &repository, &deploy_ref);
    }
    let names: Vec<_> = args.refs.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let latest = repository.latest();
    let is_pushed = names.contains(&deploy_ref);
    if names.is_empty() {
        say("gatling: no refs were given: nothing is deployed\n")?;
    }
    name_others(args, &names, &deploy_ref, &branch)?;
    let Some(commit) = latest else {
        if is_pushed {
            say(&format!("gatling: the deploy branch {branch} was deleted: the deployed release does not change\n"))?;
        }
        return Ok(0);
    };
    // What is pushed to a strict project was deployed before git accepted it.
    if !is_pushed || repository.is_strict() {
        if !status::was_never_tried(&paths, &commit)? || serving::serves_commit(&paths, &commit) {
            return Ok(0);
        }
        let commit = short(&commit);
        say(&format!("gatling: {branch} {commit} was pushed before, and no run has deployed it: deploying it now\n"))?;
    }
    submit(args, paths, commit, None)
}

/// Names the refs that are not deployed.
fn name_others(args: &Args, names: &[String], deploy_ref: &str, branch: &str) -> Result<()> {
    let project = &args.project;
    let others: Vec<_> = names.iter().filter(|name| *name != deploy_ref).collect();
    for name in others.iter().take(MAX_NAMED) {
        let advice = name.strip_prefix("refs/heads/").map(|other| {
            let other = gatling_process::shell::word(other);
            format!(". To deploy it instead, run on the server: gatling load {project} --branch {other}")
        });
        say(&format!(
            "gatling: {name} is not the deploy branch of {project} ({branch}), so nothing is deployed{}\n",
            advice.unwrap_or_default()
        ))?;
    }
    match others.len().saturating_sub(MAX_NAMED) {
        0 => Ok(()),
        more => say(&format!("gatling: {more} more refs are not the deploy branch either\n")),
    }
}

/// Deploys a push before git accepts it.
fn before_update(args: &Args, paths: ProjectPaths, repository: &Repository, deploy_ref: &str) -> Result<u8> {
    let mut pushed = None;
    for line in io::stdin().lock().split(b'\n') {
        let line = line.context("cannot read which refs were pushed")?;
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let (old, new, name) = (words.next(), words.next(), words.next());
        if let (Some(old), Some(new)) = (old, new.filter(|_| name == Some(deploy_ref.as_bytes()))) {
            pushed = Some((commit_of(old), commit_of(new)));
        }
    }
    // The branch may be deleted.
    let Some((old, Some(commit))) = pushed else { return Ok(0) };
    if let Some(quarantine) = &args.quarantine {
        repository.adopt(&commit, quarantine).context("cannot copy the pushed commit into the repository")?;
    }
    submit(args, paths, commit, Some(old.unwrap_or_default()))
}

/// A commit that git names, unless it is the id 0, which stands for none.
fn commit_of(id: &[u8]) -> Option<String> {
    let id = String::from_utf8_lossy(id).into_owned();
    id.bytes().any(|byte| byte != b'0').then_some(id)
}

fn submit(args: &Args, paths: ProjectPaths, commit: String, strict: Option<String>) -> Result<u8> {
    let request = Request { pushed: Some(commit), strict, ..Request::new(paths, Goal::Push, caller()) };
    worker::submit(&request, &mut *args.show.on_stdout())
}
