//! Rust: cargo, for the target that is a component already.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{Job, missing};
use gatling_process::Command;

/// What Rust calls the kind of machine that a component is built for.
const TARGET: &str = "wasm32-wasip2";

const INSTALL: &str = "install Rust with rustup (https://rustup.rs), then `rustup target add wasm32-wasip2`";

pub(super) fn build(job: &mut Job<'_>) -> Result<Vec<u8>> {
    if !job.has("cargo") {
        return Err(missing("cargo", INSTALL));
    }
    let build = Command::new("cargo", ["build", "--release", "--target", TARGET], job.dir);
    match job.run(&build, INSTALL) {
        Err(error) if lacks_target(job.dir) => {
            bail!("{error}: `rustup target add {TARGET}` installs the standard library for hooks, which is missing")
        }
        outcome => outcome?,
    }
    let args = ["metadata", "--no-deps", "--format-version", "1", "--quiet"];
    let text = Command::new("cargo", args, job.dir).output().context("asking cargo where it built to")?;
    // Warnings go the same way.
    let metadata = text.lines().find(|line| line.starts_with('{')).context("cargo says nothing of the package")?;
    let metadata = serde_json::from_str(metadata).context("reading what cargo says of the package")?;
    let file = component(&metadata, job.dir)?;
    fs::read(&file).with_context(|| format!("cargo wrote no {}", file.display()))
}

/// Whether nobody has installed the target, nor set up cargo to build what it needs.
fn lacks_target(dir: &Path) -> bool {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let libraries = Command::new(&rustc, ["--print", "target-libdir", "--target", TARGET], dir).output();
    env::var_os("CARGO_UNSTABLE_BUILD_STD").is_none()
        && libraries.is_ok_and(|libraries| !libraries.lines().any(|line| Path::new(line).is_dir()))
}

/// The file that cargo has built of the package in `dir`.
fn component(metadata: &Value, dir: &Path) -> Result<PathBuf> {
    let manifest = dir.join("Cargo.toml");
    let values = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let package = values(&metadata["packages"])
        .into_iter()
        .find(|package| package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest))
        .with_context(|| format!("{} is no package: build the folder of one", manifest.display()))?;
    let is_library = |target: &Value| values(&target["crate_types"]).iter().any(|kind| kind == "cdylib");
    let Some(library) = values(&package["targets"]).into_iter().find(is_library) else {
        bail!("{} builds no component: add `[lib]` with `crate-type = [\"cdylib\"]`", manifest.display());
    };
    let folder = metadata["target_directory"].as_str().context("cargo says nothing of its target folder")?;
    let name = library["name"].as_str().context("cargo says nothing of the library's name")?.replace('-', "_");
    Ok(Path::new(folder).join(TARGET).join("release").join(name).with_extension("wasm"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(crate_type: &str) -> Value {
        json!({
            "target_directory": "/cache/target",
            "packages": [
                {"manifest_path": "/app/other/Cargo.toml", "targets": [{"name": "other", "crate_types": ["cdylib"]}]},
                {"manifest_path": "/app/hooks/Cargo.toml", "targets": [
                    {"name": "my-hooks", "crate_types": [crate_type, "rlib"]},
                ]},
            ],
        })
    }

    #[test]
    fn the_component_is_found_where_cargo_was_told_to_build() {
        let file = component(&metadata("cdylib"), Path::new("/app/hooks")).unwrap();
        assert_eq!(file, Path::new("/cache/target/wasm32-wasip2/release/my_hooks.wasm"));
    }

    #[test]
    fn a_library_that_is_no_component_is_told_the_line_it_lacks() {
        let error = component(&metadata("lib"), Path::new("/app/hooks")).unwrap_err();
        assert!(error.to_string().contains(r#"crate-type = ["cdylib"]"#), "{error}");
    }

    #[test]
    fn the_root_of_a_workspace_without_a_package_is_refused() {
        let error = component(&metadata("cdylib"), Path::new("/app")).unwrap_err();
        assert!(error.to_string().contains("/app/Cargo.toml is no package"), "{error}");
    }
}
