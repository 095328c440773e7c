//! The steps that run mix.

use std::path::PathBuf;

use anyhow::Result;

use crate::action::Action;
use crate::facts::Facts;

/// What builds the release, in order.
///
/// # Errors
/// None in practice.
pub fn build(facts: &Facts) -> Result<Vec<Action>> {
    Ok([deps_get(facts)?, compile(facts)?, digest(facts)?, release(facts)?].concat())
}

pub(crate) fn deps_get(facts: &Facts) -> Result<Vec<Action>> {
    // With `--only`, mix 1.14 fails in an umbrella: it looks for the dependencies that it left out.
    Ok(vec![Action::run(match facts.mix.is_umbrella() {
        true => facts.mix_call.command(["deps.get"]),
        false => facts.mix_call.command(["deps.get", "--only", &facts.mix_call.env]),
    })])
}

pub(crate) fn compile(facts: &Facts) -> Result<Vec<Action>> {
    Ok(vec![Action::run(match facts.settings.mix.force_compile {
        true => facts.mix_call.command(["compile", "--force"]),
        false => facts.mix_call.command(["compile"]),
    })])
}

pub(crate) fn digest(facts: &Facts) -> Result<Vec<Action>> {
    const ALIAS: &str = "assets.deploy";
    const TASK: &str = "phx.digest";
    let digest = facts.mix_call.command([TASK]);
    let in_children: Vec<_> = facts.mix.folders_with_alias(ALIAS).collect();
    let builds = if facts.mix.has_task(ALIAS) {
        vec![facts.mix_call.command([ALIAS])]
    } else if !in_children.is_empty() {
        in_children.iter().map(|folder| facts.mix_call.command_in(Some(folder), [ALIAS])).collect()
    } else if facts.mix.has_task(TASK) {
        vec![digest]
    } else if facts.mix.dependencies.is_empty() {
        return Ok(vec![Action::skip(format!("the project has no mix task {TASK} and no alias {ALIAS}"))]);
    } else {
        // The dependency that has the task may not have been fetched when the facts were gathered.
        return Ok(vec![Action::RunIfTask { task: TASK, command: digest }]);
    };
    let manifests = manifests(facts).collect();
    Ok(vec![Action::Build { commands: builds, written: manifests }])
}

/// The files that `mix phx.digest` must write, from the endpoints' config.
fn manifests(facts: &Facts) -> impl Iterator<Item = PathBuf> {
    let folder_of = |app: &str| facts.mix.children.iter().find(|child| child.app == app).map(|child| &child.folder);
    facts.mix.endpoints.iter().filter_map(move |endpoint| {
        let manifest = endpoint.manifest.as_ref()?;
        let folder =
            folder_of(&endpoint.app).map_or_else(|| facts.build_dir.clone(), |folder| facts.build_dir.join(folder));
        Some(folder.join(manifest))
    })
}

pub(crate) fn release(facts: &Facts) -> Result<Vec<Action>> {
    let mix = &facts.mix;
    // mix writes this file last. A `mix release` that keeps an old release also exits with 0.
    let marker = facts.built_release_path.join("releases").join("start_erl.data");
    // mix leaves the files of earlier versions in the folder, and they would be deployed again each time. The folder
    // is removed only below `_build`: mix.exs can name any other folder.
    let is_in_build_folder = facts.built_release_path.starts_with(facts.build_dir.join("_build"));
    let folder = mix.release_folder.as_deref();
    let release = if mix.release_is_declared {
        facts.mix_call.command_in(folder, ["release", &mix.release, "--overwrite", "--quiet"])
    } else {
        facts.mix_call.command_in(folder, ["release", "--overwrite", "--quiet"])
    };
    Ok(vec![
        if is_in_build_folder {
            Action::ClearRelease { path: facts.built_release_path.clone() }
        } else {
            Action::Clear { path: marker.clone() }
        },
        Action::run(release),
        Action::ProveRelease { marker, version: facts.version.clone() },
    ])
}
