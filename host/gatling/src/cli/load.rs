//! `gatling load`.

use anyhow::{Context, Result};
use gatling_config::folders::make_private;
use gatling_config::project::ProjectName;
use gatling_config::roots::Roots;
use gatling_engine::run::repository::{DEFAULT_BRANCH, Repository};
use gatling_process::find_program;
use gatling_templates as templates;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{UsageError, print_json_line, say};

/// Create a repository on this server to push a project to
///
/// Creates the repository PROJECT in GATLING_HOME with a git hook (post-update) that deploys what is
/// pushed, and the folder deployments/PROJECT for the app. If the project is already loaded, it
/// updates the git hook, and changes the deploy branch if you give one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project's name: the :app in its mix.exs
    project: ProjectName,
    /// The branch that is deployed when it is pushed [default: main]
    #[arg(long)]
    branch: Option<String>,
    /// Print one JSON object (docs/journal.md describes it)
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let roots = Roots::from_environment()?;
    let paths = roots.project(&args.project);
    let build_dir = paths.build_dir();
    if find_program("git", Path::new("/")).is_none() {
        anyhow::bail!("git is not installed on this server: install it with `apt-get install git`");
    }
    let foreign = build_dir.exists() && !build_dir.join(".git").is_dir();
    if foreign && fs::read_dir(&build_dir).map_or(true, |mut entries| entries.next().is_some()) {
        return Err(UsageError(format!(
            "{} already exists and is not a git repository: move it away, or load the project under another name",
            build_dir.display()
        ))
        .into());
    }
    let repository = Repository::at(&build_dir);
    if build_dir.join(".git").exists() && repository.is_foreign() {
        return Err(UsageError(format!(
            "{} is a git repository that gatling did not create: move it away, or load the project under another name",
            build_dir.display()
        ))
        .into());
    }
    let was_loaded = paths.is_loaded();
    let branch = match &args.branch {
        Some(branch) => branch.clone(),
        None if was_loaded => repository.branch(),
        None => DEFAULT_BRANCH.to_owned(),
    };
    repository.initialise(&branch)?;
    let gatling = std::env::current_exe().context("cannot find the gatling program itself")?;
    let git_hook = paths.git_hook();
    let git_hooks_dir = git_hook.parent().context("a hook is in a folder")?;
    fs::create_dir_all(git_hooks_dir).with_context(|| format!("cannot make the folder {}", git_hooks_dir.display()))?;
    fs::write(&git_hook, templates::post_update(&paths, &gatling)?)
        .with_context(|| format!("cannot write {}", git_hook.display()))?;
    fs::set_permissions(&git_hook, fs::Permissions::from_mode(0o755))?;
    let deploy_dir = paths.deploy_dir();
    // Other users must not read the release's cookie and the app's log.
    make_private(&deploy_dir)?;

    if args.json {
        print_json_line(&serde_json::json!({
            "project": args.project.as_str(),
            "repository": build_dir,
            "deploy_dir": deploy_dir,
            "branch": branch,
            "renewed": was_loaded,
        }))?;
        return Ok(0);
    }
    say(&format!(
        "{project} is loaded{again}.\n  \
         repository   {build}\n  \
         deployed to  {deploy}\n  \
         on push of   {branch}\n\n\
         Set what the app needs in its environment:  gatling config set {project} KEY=VALUE\n\
         Then, in your clone:\n  \
         git remote add server USER@THIS-SERVER:{build}\n  \
         git push server {branch}\n",
        project = args.project,
        again = if was_loaded { " again; its git hook was updated" } else { "" },
        build = build_dir.display(),
        deploy = deploy_dir.display(),
    ))?;
    Ok(0)
}
