//! Creates a new hooks project.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use minijinja::{Value, context};

use super::world::{self, World};
use super::{Language, toolchain};
use gatling_hook_host::inspect::contract_version;
use gatling_pipeline::{Hook, HookPoint, Pipeline};
use gatling_process::shell;
use gatling_templates as templates;

/// The hook of a new project, if the user names none.
pub const DEFAULT_HOOK: &str = "before_mix_compile";

/// The hooks of a pipeline with these names, in pipeline order.
///
/// # Errors
/// When a name is not a hook of the pipeline. The error suggests the nearest hook, or names the pipeline that has it.
pub fn hooks(pipeline: Pipeline, names: &[String]) -> Result<Vec<Hook>> {
    let names: Vec<_> = names.iter().map(|name| name.trim().replace('-', "_")).collect();
    for name in &names {
        if pipeline.hooks().iter().any(|hook| hook.name() == *name) {
            continue;
        }
        let others: Vec<_> =
            Pipeline::ALL.into_iter().filter(|other| other.hooks().iter().any(|hook| hook.name() == *name)).collect();
        if let [other, ..] = others[..] {
            let pipelines: Vec<_> = others.iter().map(|pipeline| pipeline.name()).collect();
            bail!(
                "{name} is a hook of the pipeline {}, not of {pipeline}: for a project of {other}.wasm, add --pipeline {other}",
                pipelines.join(" and ")
            );
        }
        let nearest = pipeline.hooks().into_iter().min_by_key(|hook| strsim::damerau_levenshtein(name, &hook.name()));
        let nearest = nearest.map(|hook| hook.name()).unwrap_or_default();
        bail!(
            "{name} is not a hook: did you mean {nearest}? A hook is named before_STEP or after_STEP, or is on_failure"
        );
    }
    Ok(pipeline.hooks().into_iter().filter(|hook| names.contains(&hook.name())).collect())
}

/// Creates a project in `dir`, which must be empty or not exist. Returns its main files, relative to `dir`.
///
/// # Errors
/// When `dir` is not empty, or can't be written.
pub fn create(dir: &Path, language: Language, pipeline: Pipeline, hooks: &[Hook]) -> Result<Vec<PathBuf>> {
    check_empty(dir)?;
    let values = template_values(language, pipeline, hooks);
    let about = render(about(language), &values)?;
    let folder = path_from_mix_root(dir);
    let readme = render(README, &context! { about => about.trim_end(), folder, ..values.clone() })?;
    let mut files = Vec::new();
    for (name, template) in templates(language) {
        files.push((*name, render(template, &values)?));
    }
    files.extend([("wit/world.wit", world::text(pipeline, hooks)?), ("README.md", readme)]);
    for (name, text) in &files {
        write(dir, name, text)?;
    }
    // Writes the contract and the bindings too, so that an editor can resolve all names.
    let world = World::read(dir)?.context("the project has no world")?;
    toolchain::write_bindings(language, &dir.canonicalize()?, &world)?;
    let main_files = files.iter().map(|(name, _)| *name).filter(|name| !name.starts_with('.'));
    Ok(main_files.map(PathBuf::from).collect())
}

/// The path of a folder, relative to the root of the mix project that contains it, quoted for a shell.
fn path_from_mix_root(dir: &Path) -> String {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let root = dir.ancestors().skip(1).find(|folder| folder.join("mix.exs").is_file()).or(dir.parent());
    let path = root.and_then(|root| dir.strip_prefix(root).ok()).unwrap_or(&dir);
    shell::word(&path.display().to_string()).into_owned()
}

fn check_empty(dir: &Path) -> Result<()> {
    match fs::read_dir(dir).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(_) => bail!("{} is not empty: choose a folder that does not exist yet", dir.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot create a project in {}", dir.display())),
    }
}

fn write(dir: &Path, name: &str, text: &str) -> Result<()> {
    let path = dir.join(name);
    let cannot = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(cannot)?;
    }
    fs::write(&path, text).with_context(cannot)
}

/// The values for the templates.
fn template_values(language: Language, pipeline: Pipeline, hooks: &[Hook]) -> Value {
    let uses_failure = hooks.iter().any(|hook| hook.point == HookPoint::OnFailure);
    let hooks: Vec<_> = hooks
        .iter()
        .map(|hook| {
            let export = hook.export();
            let is_for_failure = hook.point == HookPoint::OnFailure;
            context! {
                name => hook.name(),
                camel => templates::camel(&export),
                pascal => templates::pascal(&export),
                export,
                is_for_failure,
            }
        })
        .collect();
    context! {
        language => language.title(),
        pipeline => pipeline.to_string(),
        file => pipeline.hooks_file(),
        source => source(language),
        version => contract_version(),
        module => "hooks",
        go_requirement => toolchain::go_requirement(),
        uses_failure,
        hooks,
    }
}

fn render(template: &str, values: &Value) -> Result<String> {
    templates::render(template, values.clone())
}

const README: &str = include_str!("../templates/README.md");

/// The source file of the hooks.
fn source(language: Language) -> &'static str {
    match language {
        Language::Rust => "src/lib.rs",
        Language::Js => "hooks.js",
        Language::Python => "hooks.py",
        Language::C => "hooks.c",
        Language::Go => "hooks.go",
        Language::Zig => "hooks.zig",
    }
}

/// The part of the README about the language: its tools and pitfalls.
fn about(language: Language) -> &'static str {
    match language {
        Language::Rust => include_str!("../templates/rust/about.md"),
        Language::Js => include_str!("../templates/js/about.md"),
        Language::Python => include_str!("../templates/python/about.md"),
        Language::C => include_str!("../templates/c/about.md"),
        Language::Go => include_str!("../templates/go/about.md"),
        Language::Zig => include_str!("../templates/zig/about.md"),
    }
}

/// The files of a project, by name.
fn templates(language: Language) -> &'static [(&'static str, &'static str)] {
    match language {
        Language::Rust => &[
            ("src/lib.rs", include_str!("../templates/rust/lib.rs")),
            ("Cargo.toml", include_str!("../templates/rust/Cargo.toml")),
            (".gitignore", "/target"),
        ],
        Language::Js => &[
            ("hooks.js", include_str!("../templates/js/hooks.js")),
            ("package.json", include_str!("../templates/js/package.json")),
            (".gitignore", "/node_modules"),
        ],
        Language::Python => {
            &[("hooks.py", include_str!("../templates/python/hooks.py")), (".gitignore", "/.venv\n__pycache__/")]
        }
        Language::C => &[
            ("hooks.c", include_str!("../templates/c/hooks.c")),
            (".gitignore", "# Written by `gatling hooks build`.\n/bindings"),
        ],
        Language::Go => &[
            ("hooks.go", include_str!("../templates/go/hooks.go")),
            ("go.mod", include_str!("../templates/go/go.mod")),
            (".gitignore", "# Written by `gatling hooks build`.\n/bindings"),
        ],
        Language::Zig => &[
            ("hooks.zig", include_str!("../templates/zig/hooks.zig")),
            (".gitignore", "# Written by `gatling hooks build`.\n/bindings\n/.zig-cache"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn hooks_can_be_named_with_hyphens_or_underscores_and_are_in_pipeline_order() {
        let asked = names(&["after-upgrade-service", "before_mix_compile", "after_upgrade_service"]);
        let hooks: Vec<_> = hooks(Pipeline::Upgrade, &asked).unwrap().iter().map(|hook| hook.name()).collect();
        assert_eq!(hooks, ["before_mix_compile", "after_upgrade_service"]);
    }

    #[test]
    fn the_error_for_a_misspelled_hook_suggests_the_nearest_name() {
        let error = hooks(Pipeline::Upgrade, &names(&["before_mix_compil"])).unwrap_err().to_string();
        assert_eq!(
            error,
            "before_mix_compil is not a hook: did you mean before_mix_compile? A hook is named before_STEP or after_STEP, or is \
             on_failure"
        );
    }

    #[test]
    fn the_error_for_a_hook_of_another_pipeline_names_that_pipeline() {
        let error = hooks(Pipeline::Upgrade, &names(&["before_start_service"])).unwrap_err().to_string();
        assert!(error.contains("is a hook of the pipeline deploy, not of upgrade"), "{error}");
        assert!(error.contains("add --pipeline deploy"), "{error}");
    }

    #[test]
    fn a_new_project_in_each_language_has_exactly_the_hooks_that_were_asked_for() {
        for language in Language::ALL {
            let root = tempfile::tempdir().unwrap();
            let dir = root.path().join("new/hooks");
            let hooks = hooks(Pipeline::Deploy, &names(&["before_mix_compile", "after_start_service"])).unwrap();

            let files = create(&dir, language, Pipeline::Deploy, &hooks).unwrap();

            assert_eq!(Language::of(&dir).unwrap(), language);
            let world = World::read(&dir).unwrap().unwrap();
            assert_eq!(world.pipeline, Pipeline::Deploy);
            let exports: Vec<_> = world.exports().map(|(name, _)| name).collect();
            assert_eq!(exports, ["before-mix-compile", "after-start-service"]);
            for file in &files {
                assert!(dir.join(file).is_file(), "{language}: {}", file.display());
            }
            let code = fs::read_to_string(dir.join(source(language))).unwrap();
            assert_eq!(
                code.matches("after_start_service\"").count().max(code.matches("after_start_service`").count()),
                1,
                "{code}"
            );
            let readme = fs::read_to_string(dir.join("README.md")).unwrap();
            assert!(readme.contains("deploy.wasm") && readme.contains("The trap"), "{readme}");
        }
    }

    #[test]
    fn a_new_project_in_each_language_can_have_on_failure() {
        for language in Language::ALL {
            let root = tempfile::tempdir().unwrap();
            let dir = root.path().join("hooks");
            let hooks = hooks(Pipeline::Upgrade, &names(&["on_failure", "before_mix_compile"])).unwrap();

            create(&dir, language, Pipeline::Upgrade, &hooks).unwrap();

            let world = World::read(&dir).unwrap().unwrap();
            let parameters: Vec<_> = world.exports().map(|(name, function)| (name, function.params.len())).collect();
            assert_eq!(parameters, [("before-mix-compile", 1), ("on-failure", 2)], "{language}");
            let code = fs::read_to_string(dir.join(source(language))).unwrap();
            assert_eq!(code.matches("on_failure, because of").count(), 1, "{code}");
        }
    }

    #[test]
    fn a_folder_that_is_not_empty_is_refused_and_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(".keep"), "mine").unwrap();
        let hooks = hooks(Pipeline::Upgrade, &names(&["before_mix_compile"])).unwrap();

        let error = create(dir.path(), Language::C, Pipeline::Upgrade, &hooks).unwrap_err();

        assert!(error.to_string().contains("is not empty"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
