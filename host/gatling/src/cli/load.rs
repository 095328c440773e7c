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
/// Creates the repository PROJECT in GATLING_HOME with git hooks that deploy what is pushed, and the
/// folder deployments/PROJECT for the app. If the project is already loaded, it updates the git
/// hooks, and changes the deploy branch if you give one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project's name: the :app in its mix.exs
    project: ProjectName,
    /// The branch that is deployed when it is pushed [default: main]
    #[arg(long)]
    branch: Option<String>,
    /// Refuse a push whose deployment fails: the branch then keeps its commit, and the same push can be
    /// tried again. `--strict=false` ends this [default: as before, false for a new project]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    strict: Option<bool>,
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
    write_git_hook(&paths.git_hook(), &templates::post_update(&paths, &gatling)?)?;
    let strict = args.strict.unwrap_or_else(|| repository.is_strict());
    let pre_receive = paths.pre_receive_hook();
    let own = fs::read_to_string(&pre_receive).ok();
    let is_ours = own.as_ref().is_none_or(|text| text.contains(&templates::marker(&paths.name)));
    if strict && !is_ours {
        return Err(UsageError(format!(
            "{} already exists and gatling did not write it: move it away to load the project with --strict",
            pre_receive.display()
        ))
        .into());
    }
    repository.set_strict(strict)?;
    if is_ours {
        write_git_hook(&pre_receive, &templates::pre_receive(&paths, &gatling, strict)?)?;
    }
    let deploy_dir = paths.deploy_dir();
    // Other users must not read the release's cookie and the app's log.
    make_private(&deploy_dir)?;

    if args.json {
        print_json_line(&serde_json::json!({
            "project": args.project.as_str(),
            "repository": build_dir,
            "deploy_dir": deploy_dir,
            "branch": branch,
            "strict": strict,
            "renewed": was_loaded,
        }))?;
        return Ok(0);
    }
    // Root needs no rule, and neither do folders that are not the system's.
    let needs_rule = paths.roots.uses_system_init() && !rustix::process::geteuid().is_root();
    let rule = match needs_rule {
        true => {
            format!("As root, let this user do what deployments need:\n  {}\n\n", templates::sudo_rule_command(&paths))
        }
        false => String::new(),
    };
    say(&format!(
        "{project} is loaded{again}.\n  \
         repository   {build}\n  \
         deployed to  {deploy}\n  \
         on push of   {branch}{strictly}\n\n\
         {rule}\
         Set what the app needs in its environment:  gatling config set {project} KEY=VALUE\n\
         Then, in your clone:\n  \
         git remote add server USER@THIS-SERVER:{build}\n  \
         git push server {branch}\n",
        project = args.project,
        strictly = if strict { " (the push is refused if the deployment fails)" } else { "" },
        again = if was_loaded { " again; its git hooks were updated" } else { "" },
        build = build_dir.display(),
        deploy = deploy_dir.display(),
    ))?;
    Ok(0)
}

fn write_git_hook(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a hook is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    // git runs either the old hook or the new one.
    let new = path.with_extension("gatling-new");
    let write = || {
        fs::write(&new, text)?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
