//! The toolchain that compiles Rust to components: rustup's target, or Debian's compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::prepended;
use crate::places;

/// Rust's target for components.
pub const TARGET: &str = "wasm32-wasip2";

/// Debian's compiler. With the source of the standard library, it can build that for a target for which Debian has no
/// package.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// Debian's wasi-libc.
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasi";

/// A toolchain that compiles Rust to components.
pub enum Toolchain {
    /// The Rust that builds Gatling, with the target added by rustup.
    Rustup,
    /// Debian's compiler, which also builds the standard library, with the linker of the Rust that builds Gatling.
    Debian {
        /// The linker's folder.
        linkers: PathBuf,
    },
}

impl Toolchain {
    /// The best installed toolchain.
    pub fn find() -> Result<Self> {
        let libraries = printed("rustc", &["target-libdir", "--target", TARGET])?;
        if libraries.is_dir() {
            return Ok(Self::Rustup);
        }
        let linkers = printed("rustc", &["target-libdir"])?.with_file_name("bin");
        let source = printed(DEBIAN_RUSTC, &["sysroot"])?.join("lib/rustlib/src/rust/library/Cargo.lock");
        for part in [&linkers.join("wasm-component-ld"), &source, Path::new(DEBIAN_LIBC)] {
            if !part.exists() {
                bail!("{} does not exist: `cargo xtask setup` installs it", part.display());
            }
        }
        Ok(Self::Debian { linkers })
    }

    /// Makes the cargo that `command` is, or calls, build components with this toolchain. All use one target folder, so
    /// that shared crates are built once.
    pub fn set_up(&self, command: &mut Command) -> Result<()> {
        command.env("CARGO_TARGET_DIR", target_dir()?);
        if let Self::Debian { linkers } = self {
            command
                .env("RUSTC", DEBIAN_RUSTC)
                // Building the standard library is unstable.
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

/// Copies only wasi-libc's libraries. Its folder also has startup files, which the linker would use instead of the
/// compiler's own.
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
