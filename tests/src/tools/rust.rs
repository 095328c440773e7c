//! What compiles Rust to components: a target of rustup's, or else Debian's compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::prepended;
use crate::places;

/// What Rust calls the kind of machine that a component is built for.
pub const TARGET: &str = "wasm32-wasip2";

/// Debian's compiler, with the source of the standard library, which it can build for a target
/// that nobody has built it for.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// Debian's wasi-libc.
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasi";

/// What can compile Rust to components.
pub enum Toolchain {
    /// The Rust that builds Gatling, with the target added by rustup.
    Rustup,
    /// Debian's compiler building the standard library too, and the linker of the Rust that
    /// builds Gatling, in this folder.
    Debian {
        /// The folder.
        linkers: PathBuf,
    },
}

impl Toolchain {
    /// The best that is installed.
    pub fn find() -> Result<Self> {
        let libraries = printed("rustc", &["target-libdir", "--target", TARGET])?;
        if libraries.is_dir() {
            return Ok(Self::Rustup);
        }
        let linkers = printed("rustc", &["target-libdir"])?.with_file_name("bin");
        let source = printed(DEBIAN_RUSTC, &["sysroot"])?.join("lib/rustlib/src/rust/library/Cargo.lock");
        for part in [&linkers.join("wasm-component-ld"), &source, Path::new(DEBIAN_LIBC)] {
            if !part.exists() {
                bail!("there is no {}: `cargo xtask setup` installs it", part.display());
            }
        }
        Ok(Self::Debian { linkers })
    }

    /// Has a cargo that `command` is, or calls, build components with this toolchain, into one
    /// target folder for all: what they share is built once.
    pub fn set_up(&self, command: &mut Command) -> Result<()> {
        command.env("CARGO_TARGET_DIR", target_dir()?);
        if let Self::Debian { linkers } = self {
            command
                .env("RUSTC", DEBIAN_RUSTC)
                // What is unstable is building the standard library.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
                .env("RUSTFLAGS", format!("-L {}", libraries()?.display()))
                .env("CARGO_TARGET_WASM32_WASIP2_LINKER", linkers.join("wasm-component-ld"))
                .env("PATH", prepended(&[linkers.join("gcc-ld")])?);
        }
        Ok(())
    }
}

/// cargo's target folder for guests.
pub fn target_dir() -> Result<PathBuf> {
    Ok(places::target_dir()?.join("guests"))
}

/// The folder that a compiler prints.
fn printed(rustc: &str, what: &[&str]) -> Result<PathBuf> {
    let output = Command::new(rustc).arg("--print").args(what).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("starting {rustc}: `cargo xtask setup` installs it"))?;
    if !output.status.success() {
        bail!("`{rustc} --print {}` ended with {}", what.join(" "), output.status);
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
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
