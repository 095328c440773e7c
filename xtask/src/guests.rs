//! Building guest crates into components, with whatever toolchain for it this machine has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use gatling_tests::places;
use serde_json::Value;

use crate::shell;

/// What Rust calls the kind of machine that a component is built for.
const TARGET: &str = "wasm32-wasip2";

/// Debian's compiler, with the source of the standard library, which it can build for a target
/// that nobody has built it for.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// Debian's wasi-libc.
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasi";

/// What can compile Rust to components.
pub(crate) enum Toolchain {
    /// The Rust that builds Gatling, with the target added by rustup.
    Rustup,
    /// Debian's compiler building the standard library too, and the linker of the Rust that
    /// builds Gatling, in this folder.
    Debian { linkers: PathBuf },
}

impl Toolchain {
    /// The best that is installed.
    pub(crate) fn find() -> Result<Self> {
        let own = |arguments: &[&str]| shell::read(Command::new("rustc").args(arguments));
        let libraries = own(&["--print", "target-libdir", "--target", TARGET])?;
        if Path::new(libraries.trim()).is_dir() {
            return Ok(Self::Rustup);
        }
        let linkers = own(&["--print", "target-libdir"])?;
        let linkers = Path::new(linkers.trim()).with_file_name("bin");
        let source = shell::read(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]))?;
        let source = Path::new(source.trim()).join("lib/rustlib/src/rust/library/Cargo.lock");
        for part in [&linkers.join("wasm-component-ld"), &source, Path::new(DEBIAN_LIBC)] {
            if !part.exists() {
                bail!("there is no {}: `cargo xtask setup` installs it", part.display());
            }
        }
        Ok(Self::Debian { linkers })
    }

    /// `cargo build` of components, in `dir`.
    fn build(&self, dir: &Path) -> Result<Command> {
        let mut cargo = shell::cargo();
        cargo
            .current_dir(dir)
            .args(["build", "--release", "--workspace", "--quiet", "--target", TARGET])
            .env("CARGO_TARGET_DIR", target_dir()?);
        if let Self::Debian { linkers } = self {
            cargo
                .args(["-Z", "build-std=std,panic_abort"])
                .env("RUSTC", DEBIAN_RUSTC)
                // What is unstable is building the standard library.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTFLAGS", format!("-L {}", libraries()?.display()))
                .env("CARGO_TARGET_WASM32_WASIP2_LINKER", linkers.join("wasm-component-ld"))
                .env("PATH", prepended(&linkers.join("gcc-ld"))?);
        }
        Ok(cargo)
    }
}

/// cargo's target folder for guests: one for all, so that what they share is built once.
pub(crate) fn target_dir() -> Result<PathBuf> {
    Ok(places::target_dir()?.join("guests"))
}

/// Builds the crate, or the workspace of crates, in `dir`. Returns its components, each named
/// like its package: `<target>/guests/out/my-hooks.wasm`.
pub(crate) fn build(dir: &Path) -> Result<Vec<PathBuf>> {
    build_with(&Toolchain::find()?, dir)
}

/// Builds all guests of the tests, and the hooks of the example app.
pub(crate) fn build_all() -> Result<Vec<PathBuf>> {
    let toolchain = Toolchain::find()?;
    let mut components = Vec::new();
    for dir in ["tests/guests", "examples/hello/hooks"] {
        components.extend(build_with(&toolchain, &places::workspace().join(dir))?);
    }
    Ok(components)
}

/// Builds all guests and prints where their components are.
pub(crate) fn list() -> Result<()> {
    for component in build_all()? {
        println!("{}", component.display());
    }
    Ok(())
}

fn build_with(toolchain: &Toolchain, dir: &Path) -> Result<Vec<PathBuf>> {
    let output = toolchain
        .build(dir)?
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("building the hooks in {} failed", dir.display());
    }
    let out = target_dir()?.join("out");
    fs::create_dir_all(&out)?;
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

/// Copies of wasi-libc's libraries alone: its folder holds start files too, which the linker
/// would take in place of the ones that fit the compiler.
fn libraries() -> Result<PathBuf> {
    let folder = target_dir()?.join("wasi-libc");
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(DEBIAN_LIBC).with_context(|| format!("reading {DEBIAN_LIBC}"))? {
        let entry = entry?;
        let copy = folder.join(entry.file_name());
        if copy.extension().is_some_and(|extension| extension == "a") && !copy.exists() {
            fs::copy(entry.path(), copy)?;
        }
    }
    Ok(folder)
}

fn prepended(folder: &Path) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("putting the linker on the PATH")
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
