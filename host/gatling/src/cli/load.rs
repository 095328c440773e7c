//! `gatling load`.

use anyhow::{Context, Result};
use gatling_config::folders::make_private;
use gatling_config::project::ProjectName;
use gatling_config::roots::Roots;
use gatling_engine::run::checkout::{DEFAULT_BRANCH, Repository};
use gatling_process::find_program;
use gatling_templates as templates;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{UsageError, say};

/// Make a place on this server to push a project to
///
/// Makes the repository PROJECT in GATLING_HOME with a post-update hook that deploys what is
/// pushed, and the folder deployments/PROJECT for the app. On a project that is loaded already it
/// renews the hook, and changes the deploy branch if you name one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project's name: the :app in its mix.exs
    project: ProjectName,
    /// The branch that is deployed when it is pushed [default: main]
    #[arg(long)]
    branch: Option<String>,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let roots = Roots::from_environment()?;
    let paths = roots.project(&args.project);
    let build_dir = paths.build_dir();
    if find_program("git", Path::new("/")).is_none() {
        anyhow::bail!("there is no git on this server: install it with `apt-get install git`");
    }
    let foreign = build_dir.exists() && !build_dir.join(".git").is_dir();
    if foreign && fs::read_dir(&build_dir).map_or(true, |mut entries| entries.next().is_some()) {
        return Err(UsageError(format!(
            "{} is there already, and is no repository: move it away, or load the project under another name",
            build_dir.display()
        ))
        .into());
    }
    let repository = Repository::at(&build_dir);
    if build_dir.join(".git").exists() && repository.is_foreign() {
        return Err(UsageError(format!(
            "{} is a repository that gatling did not make: move it away, or load the project under another name",
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
    let hook = paths.git_hook();
    let hooks_dir = hook.parent().context("a hook is in a folder")?;
    fs::create_dir_all(hooks_dir).with_context(|| format!("cannot make the folder {}", hooks_dir.display()))?;
    fs::write(&hook, templates::post_update(&paths, &gatling)?)
        .with_context(|| format!("cannot write {}", hook.display()))?;
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
    let deploy_dir = paths.deploy_dir();
    // The cookie of a release, and what the app logs, are nobody else's business.
    make_private(&deploy_dir)?;

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
        again = if was_loaded { " again; its post-update hook is renewed" } else { "" },
        build = build_dir.display(),
        deploy = deploy_dir.display(),
    ))?;
    Ok(0)
}
