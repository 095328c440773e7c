//! C: clang and wasi-libc, from Debian's packages or a wasi-sdk.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Job, missing};
use crate::bindings::{self, FOLDER};
use crate::component;
use crate::world::World;
use gatling_process::Command;

const INSTALL: &str = "`apt-get install clang lld wasi-libc libclang-rt-dev-wasm32` installs it; or set WASI_SDK_PATH to the folder of a \
                       wasi-sdk";

/// The linker and the files that clang links into a module, with the options that print their paths.
const LINK_INPUTS: [(&str, &str); 4] = [
    ("-print-prog-name=wasm-ld", "wasm-ld"),
    ("-print-file-name=libc.a", "libc.a"),
    ("-print-file-name=crt1-reactor.o", "crt1-reactor.o"),
    ("-print-libgcc-file-name", "libclang_rt.builtins-wasm32.a"),
];

pub(super) fn build(job: &mut Job<'_>, world: &World) -> Result<Vec<u8>> {
    let (clang, target) = compiler()?;
    if !job.has(&clang) {
        return Err(missing(&clang, INSTALL));
    }
    check_link_inputs(job.dir, &clang, target)?;
    write_bindings(job.dir, world)?;
    let out = tempfile::tempdir().context("cannot create a folder for the output of the linker")?;
    let module = out.path().join("hooks.wasm");
    job.run(&command(&clang, target, &sources(job.dir)?, &world.name(), &module, job.dir), INSTALL)?;
    component::encode(&fs::read(&module).context("clang wrote no module")?)
}

/// Writes the bindings for C, which Zig also uses.
pub(super) fn write_bindings(dir: &Path, world: &World) -> Result<()> {
    bindings::generate(dir, world, wit_bindgen_c::Opts::default().build())
}

/// The files of the bindings for C: their code, and an object that embeds the world in the module.
pub(super) fn binding_files(world: &str) -> [String; 2] {
    [format!("{FOLDER}/{world}.c"), format!("{FOLDER}/{world}_component_type.o")]
}

/// The path of clang, and its name for the target.
fn compiler() -> Result<(String, &'static str)> {
    let Some(sdk) = env::var_os("WASI_SDK_PATH").filter(|sdk| !sdk.is_empty()).map(PathBuf::from) else {
        return Ok(("clang".to_owned(), "wasm32-wasi"));
    };
    let clang = sdk.join("bin/clang");
    if !clang.is_file() {
        bail!("{} does not exist: WASI_SDK_PATH must be the folder of a wasi-sdk", clang.display());
    }
    let has_new_name = sdk.join("share/wasi-sysroot/lib/wasm32-wasip1").is_dir();
    Ok((clang.display().to_string(), if has_new_name { "wasm32-wasip1" } else { "wasm32-wasi" }))
}

/// Checks for the linker and its files, because clang's own errors don't say which package to install.
fn check_link_inputs(dir: &Path, clang: &str, target: &str) -> Result<()> {
    for (question, part) in LINK_INPUTS {
        let ask = Command::new(clang, [&format!("--target={target}"), question], dir);
        let answer = ask.output().with_context(|| format!("cannot find {part} with {clang}"))?;
        // clang prints the bare name if it doesn't have the file. The linker may also be on the PATH.
        let found = Path::new(&answer).is_file() || gatling_process::find_program(&answer, dir).is_some();
        if !found {
            bail!("{clang} has no {part} to link hooks with: {INSTALL}");
        }
    }
    Ok(())
}

/// The author's source files.
fn sources(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| Path::new(name).extension().is_some_and(|end| end == "c")).collect();
    names.sort();
    Ok(names)
}

fn command(clang: &str, target: &str, sources: &[String], world: &str, module: &Path, dir: &Path) -> Command {
    let target = format!("--target={target}");
    let include = format!("-I{FOLDER}");
    let module = module.display().to_string();
    // Keeps function names, for the backtrace of a trap.
    let flags = [&*target, "-mexec-model=reactor", "-Oz", "-Wall", "-Wextra", "-Wl,--strip-debug", &include];
    let bindings = binding_files(world);
    let files = sources.iter().map(String::as_str).chain(bindings.iter().map(String::as_str));
    Command::new(clang, flags.into_iter().chain(files).chain(["-o", &module]), dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authors_files_are_compiled_with_the_bindings() {
        let sources = ["hooks.c".to_owned(), "notify.c".to_owned()];
        let command =
            command("clang", "wasm32-wasi", &sources, "deploy", Path::new("/out/m.wasm"), Path::new("/app/hooks"));
        assert_eq!(
            command.to_string(),
            "clang --target=wasm32-wasi -mexec-model=reactor -Oz -Wall -Wextra -Wl,--strip-debug -Ibindings hooks.c notify.c \
             bindings/deploy.c bindings/deploy_component_type.o -o /out/m.wasm"
        );
    }
}
