//! Rust: cargo, with the target that produces components.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{Job, missing};
use gatling_process::Command;

/// Rust's name for the target.
const TARGET: &str = "wasm32-wasip2";

const INSTALL: &str = "install Rust with rustup (https://rustup.rs), then `rustup target add wasm32-wasip2`";

pub(super) fn build(job: &mut Job<'_>) -> Result<Vec<u8>> {
    if !job.has("cargo") {
        return Err(missing("cargo", INSTALL));
    }
    let build = Command::new("cargo", ["build", "--release", "--target", TARGET], job.dir);
    match job.run(&build, INSTALL) {
        Err(error) if lacks_target(job.dir) => {
            bail!("{error}: the standard library for {TARGET} is missing; install it with `rustup target add {TARGET}`")
        }
        outcome => outcome?,
    }
    let args = ["metadata", "--no-deps", "--format-version", "1", "--quiet"];
    let text = Command::new("cargo", args, job.dir).output().context("cannot ask cargo for its target folder")?;
    // The output can also contain warnings.
    let metadata = text.lines().find(|line| line.starts_with('{')).context("cargo metadata printed no JSON")?;
    let metadata = serde_json::from_str(metadata).context("cannot parse the output of cargo metadata")?;
    let file = component(&metadata, job.dir)?;
    fs::read(&file).with_context(|| format!("cargo did not write {}", file.display()))
}

/// Whether the target is not installed, and cargo is not configured to build the standard library.
fn lacks_target(dir: &Path) -> bool {
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let libraries = Command::new(&rustc, ["--print", "target-libdir", "--target", TARGET], dir).output();
    env::var_os("CARGO_UNSTABLE_BUILD_STD").is_none()
        && libraries.is_ok_and(|libraries| !libraries.lines().any(|line| Path::new(line).is_dir()))
}

/// The component that cargo has built from the package in `dir`.
fn component(metadata: &Value, dir: &Path) -> Result<PathBuf> {
    let manifest = dir.join("Cargo.toml");
    let values = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let package = values(&metadata["packages"])
        .into_iter()
        .find(|package| package["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest))
        .with_context(|| format!("{} is not a package: build the folder of a package", manifest.display()))?;
    let is_library = |target: &Value| values(&target["crate_types"]).iter().any(|kind| kind == "cdylib");
    let Some(library) = values(&package["targets"]).into_iter().find(is_library) else {
        bail!("{} does not build a component: add `[lib]` with `crate-type = [\"cdylib\"]`", manifest.display());
    };
    let folder = metadata["target_directory"].as_str().context("cargo metadata has no target folder")?;
    let name = library["name"].as_str().context("cargo metadata has no name for the library")?.replace('-', "_");
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
    fn the_component_is_found_in_cargos_target_folder() {
        let file = component(&metadata("cdylib"), Path::new("/app/hooks")).unwrap();
        assert_eq!(file, Path::new("/cache/target/wasm32-wasip2/release/my_hooks.wasm"));
    }

    #[test]
    fn the_error_for_a_library_that_is_not_a_component_has_the_missing_line() {
        let error = component(&metadata("lib"), Path::new("/app/hooks")).unwrap_err();
        assert!(error.to_string().contains(r#"crate-type = ["cdylib"]"#), "{error}");
    }

    #[test]
    fn the_root_of_a_workspace_without_a_package_is_refused() {
        let error = component(&metadata("cdylib"), Path::new("/app")).unwrap_err();
        assert!(error.to_string().contains("/app/Cargo.toml is not a package"), "{error}");
    }
}
