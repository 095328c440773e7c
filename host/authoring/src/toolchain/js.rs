//! JavaScript: componentize-qjs, or componentize-js if `package.json` depends on it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{Job, missing};
use crate::packages::WIT_FOLDER;
use crate::world::World;
use gatling_process::Command;
use gatling_templates as templates;

const INSTALL: &str = "`apt-get install nodejs npm` installs it";

/// A tool that builds a component from JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    /// QuickJS: a small component that starts fast.
    Qjs,
    /// StarlingMonkey: a large component, with `fetch` and other web APIs.
    Js,
}

impl Tool {
    fn package(self) -> &'static str {
        match self {
            Self::Qjs => "componentize-qjs",
            Self::Js => "@bytecodealliance/componentize-js",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Qjs => "componentize-qjs",
            Self::Js => "componentize-js",
        }
    }

    /// The tool that a project depends on. If it depends on both, the larger one, which supports more.
    fn of(package: &Value) -> Option<Self> {
        let names = |tool: &Self| {
            ["dependencies", "devDependencies"].iter().any(|kind| package[kind].get(tool.package()).is_some())
        };
        [Self::Js, Self::Qjs].into_iter().find(names)
    }
}

pub(super) fn build(job: &mut Job<'_>, world: &World) -> Result<Vec<u8>> {
    let path = job.dir.join("package.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let package: Value = serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    let Some(tool) = Tool::of(&package) else {
        bail!(
            "{} does not depend on a tool that builds hooks: add it with `npm install --save-dev {}`",
            path.display(),
            Tool::Qjs.package()
        );
    };
    if !job.has("node") {
        return Err(missing("node", INSTALL));
    }
    if installed(job.dir, tool).is_none() {
        let install = if job.dir.join("package-lock.json").is_file() { "ci" } else { "install" };
        (job.on_line)(&format!("{} is not in node_modules yet", tool.package()));
        job.run(&Command::new("npm", [install, "--no-audit", "--no-fund"], job.dir), INSTALL)?;
    }
    let Some(program) = installed(job.dir, tool) else {
        bail!("npm did not install {}: remove node_modules and try again", tool.program());
    };
    let source = package["main"].as_str().unwrap_or("hooks.js");
    if tool == Tool::Qjs {
        let path = job.dir.join(source);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        refuse_async_hooks(&text, world)?;
    }
    let out = tempfile::tempdir().context("cannot create a folder for the component")?;
    let file = out.path().join("hooks.wasm");
    job.run(&command(tool, &program, source, &world.name(), &file, job.dir), INSTALL)?;
    fs::read(&file).with_context(|| format!("{} wrote no component", tool.program()))
}

/// The path of the installed tool, in the project or in a folder above it (a workspace).
fn installed(dir: &Path, tool: Tool) -> Option<String> {
    let programs = dir.ancestors().map(|folder| folder.join("node_modules/.bin").join(tool.program()));
    let program = programs.into_iter().find(|program| program.is_file())?;
    Some(program.strip_prefix(dir).unwrap_or(&program).display().to_string())
}

/// Refuses asynchronous hooks for QuickJS: they would silently succeed at their first `await`, without running the
/// rest.
fn refuse_async_hooks(source: &str, world: &World) -> Result<()> {
    for (export, _) in world.exports() {
        let name = templates::camel(export);
        let source = source.replace('=', " = ");
        let words: Vec<_> =
            source.split(|c: char| c.is_whitespace() || c == '(').filter(|word| !word.is_empty()).collect();
        // A function, or a variable with a function.
        let is_async = |words: &[&str]| *words == ["async", "function", &name] || *words == [&name, "=", "async"];
        if words.windows(3).any(is_async) {
            bail!(
                "the hook {name} is `async`: with {}, everything after its first `await` would never run. Write it without \
                 `async`, or replace the dependency in package.json with {}",
                Tool::Qjs.package(),
                Tool::Js.package()
            );
        }
    }
    Ok(())
}

fn command(tool: Tool, program: &str, source: &str, world: &str, file: &Path, dir: &Path) -> Command {
    let file = file.display().to_string();
    let args = match tool {
        // Gatling can't call asynchronous exports.
        Tool::Qjs => vec!["--wit", WIT_FOLDER, "--world", world, "--js", source, "--sync", "--output", &file],
        // Without this, the component would export an HTTP server.
        Tool::Js => {
            vec![source, "--wit", WIT_FOLDER, "--world-name", world, "--disable", "fetch-event", "--out", &file]
        }
    };
    Command::new(program, args, dir)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_tool_is_the_one_that_the_package_depends_on() {
        let tool = |package: Value| Tool::of(&package);
        assert_eq!(tool(json!({"devDependencies": {"componentize-qjs": "^0.4"}})), Some(Tool::Qjs));
        assert_eq!(tool(json!({"dependencies": {"@bytecodealliance/componentize-js": "*"}})), Some(Tool::Js));
        assert_eq!(tool(json!({"devDependencies": {"left-pad": "1"}})), None);
    }

    #[test]
    fn for_quickjs_asynchronous_hooks_are_refused_and_asynchronous_helpers_are_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(WIT_FOLDER)).unwrap();
        let world = "package my:hooks;\nworld upgrade {\n  export before-mix-compile: func();\n}\n";
        fs::write(dir.path().join(WIT_FOLDER).join("world.wit"), world).unwrap();
        let world = World::read(dir.path()).unwrap().unwrap();

        let error = refuse_async_hooks("export async function beforeMixCompile(env) {}", &world).unwrap_err();
        assert!(error.to_string().contains("the hook beforeMixCompile is `async`"), "{error}");
        for source in [
            "export const beforeMixCompile=async(env) => {}",
            "async function beforeMixCompile() {}\nexport { beforeMixCompile }",
        ] {
            assert!(refuse_async_hooks(source, &world).is_err(), "{source}");
        }
        for source in ["export function beforeMixCompile(env) {}", "export async function helper() {}"] {
            refuse_async_hooks(source, &world).unwrap();
        }
    }

    #[test]
    fn the_tool_can_be_installed_in_a_folder_above() {
        let root = tempfile::tempdir().unwrap();
        let hooks = root.path().join("hooks");
        let folder = root.path().join("node_modules/.bin");
        fs::create_dir_all(&hooks).unwrap();
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("componentize-qjs"), "").unwrap();
        assert_eq!(installed(&hooks, Tool::Qjs), Some(folder.join("componentize-qjs").display().to_string()));
        assert_eq!(installed(root.path(), Tool::Qjs).as_deref(), Some("node_modules/.bin/componentize-qjs"));
        assert_eq!(installed(&hooks, Tool::Js), None);
    }
}
