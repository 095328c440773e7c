//! Builds a hooks project into a hooks file.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::world::World;
use super::{Language, toolchain};
use gatling_hook_host::inspect::{Inspection, Status};
use gatling_pipeline::Pipeline;

/// A hooks project.
pub struct Project {
    dir: PathBuf,
    /// The language of its hooks.
    pub language: Language,
    world: Option<World>,
}

/// A built component that exports hooks.
pub struct BuiltComponent {
    /// The pipeline of its hooks.
    pub pipeline: Pipeline,
    /// The bytes of the component.
    pub component: Vec<u8>,
    /// The result of inspecting the component.
    pub inspection: Inspection,
}

impl Project {
    /// Reads the project in `dir`.
    ///
    /// # Errors
    /// When it is not a hooks project, or its world can't be read.
    pub fn open(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            bail!("the folder {} does not exist", dir.display());
        }
        let dir = dir.canonicalize().with_context(|| format!("cannot open {}", dir.display()))?;
        let language = Language::of(&dir)?;
        let world = World::read(&dir)?;
        Ok(Self { dir, language, world })
    }

    /// Builds the component with the language's own tools. `on_line` gets each command, and each line of its output
    /// as it arrives.
    ///
    /// # Errors
    /// When a tool is missing or fails, or the component exports no hooks that can be called.
    pub fn build(&self, on_line: &mut dyn FnMut(&str)) -> Result<BuiltComponent> {
        let component = toolchain::build(self.language, &self.dir, self.world.as_ref(), on_line)?;
        let (pipeline, inspection) = match &self.world {
            Some(world) => (world.pipeline, inspect(&component, world.pipeline)?),
            None => pipeline_of(&component)?,
        };
        if let Some(problem) = inspection.problems.first() {
            bail!("the component was built, but {problem}");
        }
        if !inspection.callable().any(|(report, _)| report.pipeline.as_ref() == Some(&pipeline.name())) {
            bail!(
                "the component was built, but it exports no hooks of the pipeline {pipeline}. To list the hooks, run \
                 `gatling hooks new --help`"
            );
        }
        Ok(BuiltComponent { pipeline, component, inspection })
    }

    /// The path of the hooks file of a pipeline: in the root of the mix project that contains this project, or in
    /// this project's own folder.
    #[must_use]
    pub fn destination(&self, pipeline: Pipeline) -> PathBuf {
        let mut root = &*self.dir;
        for folder in self.dir.ancestors() {
            if folder.join("mix.exs").is_file() {
                root = folder;
                break;
            }
            // Files outside of the repository are not pushed.
            if folder.join(".git").exists() {
                break;
            }
        }
        root.join(pipeline.hooks_file())
    }
}

impl BuiltComponent {
    /// The names of the hooks that will be called.
    #[must_use]
    pub fn hooks(&self) -> Vec<&str> {
        let callable =
            self.inspection.callable().filter(|(report, _)| report.pipeline.as_ref() == Some(&self.pipeline.name()));
        callable.map(|(report, _)| report.name.as_str()).collect()
    }

    /// Writes the component to `file`, atomically.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let cannot = || format!("cannot write {}", file.display());
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(cannot)?;
        let mut temporary = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
        temporary.write_all(&self.component).with_context(cannot)?;
        temporary.as_file().set_permissions(fs::Permissions::from_mode(0o644)).with_context(cannot)?;
        temporary.persist(file).with_context(cannot)?;
        Ok(())
    }
}

fn inspect(component: &[u8], pipeline: Pipeline) -> Result<Inspection> {
    Inspection::of(component, &pipeline.name(), &Pipeline::all_hooks())
        .map_err(|problem| anyhow::anyhow!("the component was built, but {problem}"))
}

/// The pipeline of a component whose project has no world: the first one that has all of its hooks, starting with
/// `upgrade`.
fn pipeline_of(component: &[u8]) -> Result<(Pipeline, Inspection)> {
    for pipeline in [Pipeline::Upgrade, Pipeline::Deploy, Pipeline::Rollback, Pipeline::Unload] {
        let inspection = inspect(component, pipeline)?;
        let is_ours = |report: &gatling_hook_host::inspect::HookReport| {
            report.pipeline.as_ref() == Some(&pipeline.name()) || report.status == Status::Unknown
        };
        if inspection.hooks.iter().all(is_ours) {
            return Ok((pipeline, inspection));
        }
    }
    bail!(
        "the component was built, but its hooks belong to several pipelines: a hooks file must only have those of one"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(root: &Path, dir: &str) -> PathBuf {
        let project = Project { dir: root.join(dir), language: Language::C, world: None };
        fs::create_dir_all(&project.dir).unwrap();
        project.destination(Pipeline::Deploy).strip_prefix(root).unwrap().to_owned()
    }

    #[test]
    fn the_hooks_file_is_written_to_the_nearest_mix_project_of_the_repository() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(destination(root, "hooks"), Path::new("hooks/deploy.wasm"));

        fs::write(root.join("mix.exs"), "").unwrap();
        assert_eq!(destination(root, "hooks"), Path::new("deploy.wasm"));
        assert_eq!(destination(root, "ops/deploy/c"), Path::new("deploy.wasm"));

        // Another repository, or a submodule, in which `.git` is a file: it is pushed separately.
        fs::write(root.join("ops/.git"), "").unwrap();
        assert_eq!(destination(root, "ops/deploy/c"), Path::new("ops/deploy/c/deploy.wasm"));

        fs::write(root.join("ops/mix.exs"), "").unwrap();
        assert_eq!(destination(root, "ops/deploy/c"), Path::new("ops/deploy.wasm"));
    }
}
