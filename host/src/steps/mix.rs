//! The steps that mix does.

use anyhow::Result;

use super::Action;
use crate::env::Env;

pub(crate) fn deps_get(env: &Env) -> Result<Vec<Action>> {
    Ok(vec![Action::run(env.mix.fetch())])
}

pub(crate) fn compile(env: &Env) -> Result<Vec<Action>> {
    Ok(vec![Action::run(match env.settings.mix.force_compile {
        true => env.mix.command(["compile", "--force"]),
        false => env.mix.command(["compile"]),
    })])
}

pub(crate) fn digest(env: &Env) -> Result<Vec<Action>> {
    const ALIAS: &str = "assets.deploy";
    const TASK: &str = "phx.digest";
    let digest = env.mix.command([TASK]);
    Ok(vec![if env.facts.has_task(ALIAS) {
        Action::run(env.mix.command([ALIAS]))
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
        Action::run(env.mix.command(["release", &env.facts.release, "--overwrite", "--quiet"])),
        Action::ProveRelease { marker, version: env.version.clone() },
    ])
}

pub(crate) fn ecto_setup(env: &Env) -> Result<Vec<Action>> {
    const TASK: &str = "ecto.setup";
    Ok(vec![if env.facts.has_task(TASK) {
        Action::run(env.mix.command([TASK]))
    } else {
        Action::skip(format!("the project has no mix task {TASK}"))
    }])
}
