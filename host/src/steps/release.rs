//! The steps that bring a built release into the deploy dir.
//!
//! Every release has a folder of its own, `releases/<version>/<project>`, with the settings it
//! was deployed with beside it in `service.env`. `current` links to the one that serves.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Action;
use crate::command::Command;
use crate::env::Env;
use crate::shell;

pub(crate) fn make_deploy_dir(env: &Env) -> Result<Vec<Action>> {
    let below = |name: &str| Action::MakeDir { path: env.deploy_dir.join(name) };
    let mut actions = vec![below("releases"), below("log"), below("run")];
    actions.extend(make_upgrade_dir(env)?);
    Ok(actions)
}

pub(crate) fn make_upgrade_dir(env: &Env) -> Result<Vec<Action>> {
    // What runs that failed have left; the release that serves is in none of these folders.
    let mut actions: Vec<_> = half_made(env).map(|path| Action::Clear { path }).collect();
    actions.extend([
        Action::Clear { path: env.upgrade_dir.clone() },
        Action::MakeDir { path: env.upgrade_dir.clone() },
        Action::WriteFile { path: env.upgrade_dir.join("service.env"), contents: service_env(env), mode: 0o644 },
    ]);
    Ok(actions)
}

/// The folders of releases that no release ever came into.
fn half_made(env: &Env) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(env.paths.releases_dir()).into_iter().flatten().flatten();
    let (project, own) = (env.project.clone(), env.upgrade_dir.clone());
    entries.map(|entry| entry.path()).filter(move |dir| !dir.join(&project).exists() && *dir != own)
}

/// The host name that the app is to take for its own: the first that is one and no pattern.
fn host(env: &Env) -> String {
    let mut names = env.domains.iter().filter(|domain| !domain.starts_with('.') && !domain.contains('*'));
    names.next().cloned().unwrap_or_else(|| "localhost".to_owned())
}

/// What the init script has to know of a release. It goes with the release, so that one that is
/// put back gets back what it had.
fn service_env(env: &Env) -> String {
    let settings = [
        ("PROGRAM", env.facts.release.clone()),
        ("PORT", env.available_port.to_string()),
        ("HOST", host(env)),
        ("HEALTH_PATH", env.settings.health.path.clone()),
        ("HEALTH_SECONDS", env.settings.health.timeout.as_secs().to_string()),
    ];
    settings.iter().map(|(name, value)| format!("GATLING_{name}={}\n", shell::quoted(value))).collect()
}

pub(crate) fn copy_to_deploy(env: &Env) -> Result<Vec<Action>> {
    let partial = partial(&env.deploy_path);
    Ok(vec![
        here(env, "tar", ["-czf", &partial, "-C", &text(&env.built_release_path), "."]),
        rename(env, &partial, &env.deploy_path),
    ])
}

pub(crate) fn expand(env: &Env) -> Result<Vec<Action>> {
    let partial = partial(&env.upgrade_path);
    Ok(vec![
        Action::MakeDir { path: partial.clone().into() },
        here(env, "tar", ["-xzf", &text(&env.deploy_path), "-C", &partial]),
        rename(env, &partial, &env.upgrade_path),
        link(env, "current.new"),
        rename(env, "current.new", &env.paths.current_link()),
        here(env, "rm", ["-f", &text(&env.deploy_path)]),
    ])
}

pub(crate) fn copy_to_upgrade(env: &Env) -> Result<Vec<Action>> {
    let partial = partial(&env.upgrade_path);
    Ok(vec![
        here(env, "cp", ["-a", "--reflink=auto", &text(&env.built_release_path), &partial]),
        rename(env, &partial, &env.upgrade_path),
    ])
}

/// A command in the deploy dir that is nothing for the eyes of whoever pushed.
fn here<const N: usize>(env: &Env, program: &str, args: [&str; N]) -> Action {
    Action::run(Command::new(program, args, &env.deploy_dir).quiet())
}

fn link(env: &Env, name: &str) -> Action {
    let target = format!("releases/{}", env.release());
    here(env, "ln", ["-sfn", &target, name])
}

/// A rename puts a whole thing in its place in one go, whatever happens to the machine.
fn rename(env: &Env, from: &str, to: &Path) -> Action {
    here(env, "mv", ["-T", "-f", from, &text(to)])
}

fn partial(path: &Path) -> String {
    format!("{}.partial", path.display())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
