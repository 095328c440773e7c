//! The steps that mix does.

use anyhow::Result;

use super::Action;
use crate::command::Command;
use crate::env::Env;

/// A call of mix in the build dir.
pub(super) fn command<const N: usize>(env: &Env, args: [&str; N]) -> Command {
    let variables = env.mix_variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Command::new("mix", args, &env.build_dir).with_env(variables)
}

pub(crate) fn deps_get(env: &Env) -> Result<Vec<Action>> {
    Ok(vec![Action::run(command(env, ["deps.get", "--only", &env.mix_env]))])
}

pub(crate) fn compile(env: &Env) -> Result<Vec<Action>> {
    Ok(vec![Action::run(match env.settings.mix.force_compile {
        true => command(env, ["compile", "--force"]),
        false => command(env, ["compile"]),
    })])
}

pub(crate) fn digest(env: &Env) -> Result<Vec<Action>> {
    const ALIAS: &str = "assets.deploy";
    const TASK: &str = "phx.digest";
    let digest = command(env, [TASK]);
    Ok(vec![if env.facts.has_task(ALIAS) {
        Action::run(command(env, [ALIAS]))
    } else if env.facts.has_task(TASK) {
        Action::run(digest)
    } else if env.facts.dependencies.is_empty() {
        Action::skip(format!("the project has no mix task {TASK} and no alias {ALIAS}"))
    } else {
        // The dependencies that could bring it may not have been there when mix was asked.
        Action::RunIfTask { task: TASK, command: digest }
    }])
}

pub(crate) fn release(env: &Env) -> Result<Vec<Action>> {
    // mix writes this file last. A `mix release` that keeps an old release exits with 0 too.
    let marker = env.built_release_path.join("releases").join("start_erl.data");
    Ok(vec![
        Action::Clear { path: marker.clone() },
        Action::run(command(env, ["release", &env.facts.release, "--overwrite", "--quiet"])),
        Action::ProveRelease { marker, version: env.version.clone() },
    ])
}

pub(crate) fn ecto_setup(env: &Env) -> Result<Vec<Action>> {
    const TASK: &str = "ecto.setup";
    Ok(vec![if env.facts.has_task(TASK) {
        Action::run(command(env, [TASK]))
    } else {
        Action::skip(format!("the project has no mix task {TASK}"))
    }])
}
