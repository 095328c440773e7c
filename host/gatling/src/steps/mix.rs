//! The steps that mix does.

use std::path::PathBuf;

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
    let in_children: Vec<_> = env.facts.folders_with_alias(ALIAS).collect();
    let builds = if env.facts.has_task(ALIAS) {
        vec![env.mix.command([ALIAS])]
    } else if !in_children.is_empty() {
        in_children.iter().map(|folder| env.mix.command_in(Some(folder), [ALIAS])).collect()
    } else if env.facts.has_task(TASK) {
        vec![digest]
    } else if env.facts.dependencies.is_empty() {
        return Ok(vec![Action::skip(format!("the project has no mix task {TASK} and no alias {ALIAS}"))]);
    } else {
        // The dependencies that could bring it may not have been there when mix was asked.
        return Ok(vec![Action::RunIfTask { task: TASK, command: digest }]);
    };
    let manifests = manifests(env).collect();
    Ok(vec![Action::Build { commands: builds, written: manifests }])
}

/// The files that `mix phx.digest` is to write, as the endpoints' config names them.
fn manifests(env: &Env) -> impl Iterator<Item = PathBuf> {
    let folder_of = |app: &str| env.facts.children.iter().find(|child| child.app == app).map(|child| &child.folder);
    env.facts.endpoints.iter().filter_map(move |endpoint| {
        let manifest = endpoint.manifest.as_ref()?;
        let folder =
            folder_of(&endpoint.app).map_or_else(|| env.build_dir.clone(), |folder| env.build_dir.join(folder));
        Some(folder.join(manifest))
    })
}

pub(crate) fn release(env: &Env) -> Result<Vec<Action>> {
    let facts = &env.facts;
    // mix writes this file last. A `mix release` that keeps an old release exits with 0 too.
    let marker = env.built_release_path.join("releases").join("start_erl.data");
    // mix leaves in the folder what earlier versions had there, and it would be deployed again each
    // time. Only a folder of mix's own is removed: mix.exs can name any other.
    let is_mixs = env.built_release_path.starts_with(env.build_dir.join("_build"));
    let folder = facts.release_folder.as_deref();
    let release = if facts.release_is_declared {
        env.mix.command_in(folder, ["release", &facts.release, "--overwrite", "--quiet"])
    } else {
        env.mix.command_in(folder, ["release", "--overwrite", "--quiet"])
    };
    Ok(vec![
        if is_mixs {
            Action::ClearRelease { path: env.built_release_path.clone() }
        } else {
            Action::Clear { path: marker.clone() }
        },
        Action::run(release),
        Action::ProveRelease { marker, version: env.version.clone() },
    ])
}
