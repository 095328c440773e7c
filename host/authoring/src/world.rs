//! The WIT world of a hooks project, in its folder `wit`. It lists the exported hooks, and is named after their
//! pipeline.

use std::path::Path;

use anyhow::{Result, bail};
use minijinja::context;
use wit_parser::{Function, Resolve, WorldId, WorldItem, WorldKey};

use crate::packages::{self, WIT_FOLDER};
use gatling_hook_host::inspect::contract_version;
use gatling_pipeline::{Hook, HookPoint, Pipeline};
use gatling_templates as templates;

/// The world of a hooks project.
pub(super) struct World {
    pub(super) resolve: Resolve,
    pub(super) id: WorldId,
    pub(super) pipeline: Pipeline,
}

/// The text of a world that exports these hooks.
pub(super) fn text(pipeline: Pipeline, hooks: &[Hook]) -> Result<String> {
    let is_for_failure = |hook: &Hook| hook.point == HookPoint::OnFailure;
    let exports: Vec<_> =
        hooks.iter().map(|hook| context! { name => hook.export(), is_for_failure => is_for_failure(hook) }).collect();
    let uses_failure = hooks.iter().any(is_for_failure);
    templates::render(
        include_str!("../templates/world.wit"),
        context! { pipeline => pipeline.to_string(), file => pipeline.hooks_file(), version => contract_version(), exports, uses_failure },
    )
}

impl World {
    /// Reads the WIT world in the project's folder `wit`, and the packages it uses. Returns `None` if there is no such
    /// folder.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>> {
        let folder = dir.join(WIT_FOLDER);
        if !folder.is_dir() {
            return Ok(None);
        }
        packages::write_missing(dir)?;
        let mut resolve = Resolve::default();
        let package = match resolve.push_dir(&folder) {
            Ok((package, _)) => package,
            Err(error) => bail!("cannot read the world in {}: {}", folder.display(), resolve.render_error(&error)),
        };
        let worlds = resolve.packages[package].worlds.iter();
        let mut named = worlds.filter_map(|(name, id)| Some((name.parse::<Pipeline>().ok()?, *id)));
        match (named.next(), named.next()) {
            (Some((pipeline, id)), None) => Ok(Some(Self { resolve, id, pipeline })),
            (None, _) => bail!(
                "no world in {} is named after a pipeline: name it `upgrade`, `deploy` or `unload`, the pipeline of its hooks",
                folder.display()
            ),
            (Some(_), Some(_)) => bail!(
                "several worlds in {} are named after pipelines: a project can only have the hooks of one pipeline, so \
                 move the other worlds to separate projects",
                folder.display()
            ),
        }
    }

    /// Its name, which is that of its pipeline.
    pub(super) fn name(&self) -> String {
        self.pipeline.to_string()
    }

    /// The exported functions, in the order of the file.
    pub(super) fn exports(&self) -> impl Iterator<Item = (&str, &Function)> {
        self.resolve.worlds[self.id].exports.iter().filter_map(|(key, item)| match (key, item) {
            (WorldKey::Name(name), WorldItem::Function(function)) => Some((name.as_str(), function)),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(text: &str) -> Result<Option<World>> {
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join(WIT_FOLDER))?;
        fs::write(dir.path().join(WIT_FOLDER).join("world.wit"), text)?;
        World::read(dir.path())
    }

    #[test]
    fn the_name_of_the_world_is_the_pipeline() {
        let world = read("package my:hooks;\nworld helpers {}\nworld unload {}\n").unwrap().unwrap();
        assert_eq!(world.pipeline, Pipeline::Unload);
    }

    #[test]
    fn a_project_needs_exactly_one_world_that_is_named_after_a_pipeline() {
        let error = |text| read(text).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error("package my:hooks;\nworld upgrades {}\n").contains("name it `upgrade`"));
        assert!(error("package my:hooks;\nworld upgrade {}\nworld deploy {}\n").contains("are named after pipelines"));
    }

    #[test]
    fn a_syntax_error_in_the_world_is_reported_with_its_position() {
        let error = read("package my:hooks;\nworld upgrade {\n  exprot x: func();\n}\n").err().unwrap();
        assert!(format!("{error:#}").contains("world.wit:3:3"), "{error:#}");
    }
}
