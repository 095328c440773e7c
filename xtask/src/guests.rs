//! Building hooks into components, with whatever toolchains for it this machine has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use gatling_tests::tools::rust::{self, Toolchain};
use gatling_tests::{places, tools};
use serde_json::Value;

use crate::shell;

/// `cargo build` of components, in `dir`.
fn cargo_build(toolchain: &Toolchain, dir: &Path) -> Result<Command> {
    let mut cargo = shell::cargo();
    cargo.current_dir(dir).args(["build", "--release", "--workspace", "--quiet", "--target", rust::TARGET]);
    toolchain.set_up(&mut cargo)?;
    Ok(cargo)
}

/// Builds the crate, or the workspace of crates, in `dir`. Returns its components, each named
/// like its package: `<target>/guests/out/my-hooks.wasm`.
pub(crate) fn build(dir: &Path) -> Result<Vec<PathBuf>> {
    build_with(&Toolchain::find()?, dir)
}

/// The folders of `examples/` with the same hooks in one language each.
const LANGUAGES: [&str; 6] = ["rust", "js", "python", "c", "go", "zig"];

/// Builds all guests of the tests, and the examples: the hooks of the example app, and those in
/// each language. `gatling` has to be built already: it builds the latter.
pub(crate) fn build_all() -> Result<Vec<PathBuf>> {
    let toolchain = Toolchain::find()?;
    let mut components = Vec::new();
    for dir in ["tests/guests", "examples/hello/hooks"] {
        components.extend(build_with(&toolchain, &places::workspace().join(dir))?);
    }
    for language in LANGUAGES {
        components.push(build_example(language)?);
    }
    Ok(components)
}

/// Builds the example in one language: `<target>/guests/out/go.wasm`.
fn build_example(language: &str) -> Result<PathBuf> {
    let component = out()?.join(language).with_extension("wasm");
    let example = places::workspace().join("examples").join(language);
    let mut build = tools::build(&places::gatling()?, &example)?;
    build.arg("--out").arg(&component);
    let output = build.stdin(Stdio::null()).output().context("starting gatling")?;
    if !output.status.success() {
        bail!(
            "building the example in {language} failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(component)
}

/// The folder of all components.
fn out() -> Result<PathBuf> {
    let out = rust::target_dir()?.join("out");
    fs::create_dir_all(&out).with_context(|| format!("making {}", out.display()))?;
    Ok(out)
}

/// Builds `gatling` itself.
pub(crate) fn build_gatling() -> Result<()> {
    shell::show(shell::cargo().current_dir(places::workspace()).args(["build", "--package", "gatling"]))
}

/// Builds all guests and prints where their components are.
pub(crate) fn list() -> Result<()> {
    build_gatling()?;
    for component in build_all()? {
        println!("{}", component.display());
    }
    Ok(())
}

fn build_with(toolchain: &Toolchain, dir: &Path) -> Result<Vec<PathBuf>> {
    let output = cargo_build(toolchain, dir)?
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("building the hooks in {} failed", dir.display());
    }
    let out = out()?;
    let mut components = Vec::new();
    for built in built_components(&String::from_utf8_lossy(&output.stdout)) {
        let name = built.file_name().context("cargo named a component without a name")?;
        // cargo names files like crates, with underscores; packages have dashes.
        let component = out.join(name.to_string_lossy().replace('_', "-"));
        fs::copy(&built, &component).with_context(|| format!("copying {}", built.display()))?;
        components.push(component);
    }
    if components.is_empty() {
        bail!("{} builds no component: is its crate-type cdylib?", dir.display());
    }
    Ok(components)
}

/// The components that cargo's messages, one JSON object a line, name as built.
fn built_components(messages: &str) -> Vec<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_components_of_what_cargo_built_are_taken() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","filenames":["/t/libenv.rlib","/t/libenv.rmeta"]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","filenames":["/t/my_hooks.wasm"]}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(built_components(messages), [PathBuf::from("/t/my_hooks.wasm")]);
    }
}
