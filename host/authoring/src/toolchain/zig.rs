//! Zig: its compiler, with the bindings for C.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Job, c, missing};
use crate::bindings::{self, FOLDER};
use crate::component;
use crate::world::World;
use gatling_process::Command;

const INSTALL: &str =
    "`pip install ziglang` installs it, best in a virtual environment; or set ZIG to the compiler's path";

pub(super) fn build(job: &mut Job<'_>, world: &World) -> Result<Vec<u8>> {
    let tool = compiler(job)?;
    c::write_bindings(job.dir, world)?;
    translate_bindings(job, &tool, &world.name())?;
    let out = tempfile::tempdir().context("cannot create a folder for the output of the linker")?;
    let module = out.path().join("hooks.wasm");
    job.run(&command(&tool, &world.name(), &module, job.dir), INSTALL)?;
    component::encode(&fs::read(&module).context("zig wrote no module")?)
}

/// The program and first arguments of the compiler.
fn compiler(job: &Job<'_>) -> Result<Vec<String>> {
    if let Some(zig) = env::var("ZIG").ok().filter(|zig| !zig.is_empty()) {
        return if job.has(&zig) {
            Ok(vec![zig])
        } else {
            Err(missing(&zig, "set ZIG to the path of the zig compiler"))
        };
    }
    if job.has("zig") {
        Ok(vec!["zig".to_owned()])
    } else if job.succeeds("python3", &["-c", "import ziglang"]) {
        Ok(["python3", "-m", "ziglang"].map(str::to_owned).to_vec())
    } else {
        Err(missing("zig", INSTALL))
    }
}

/// Translates the header to Zig with the installed compiler, because the result depends on its version of the
/// language.
fn translate_bindings(job: &mut Job<'_>, tool: &[String], world: &str) -> Result<()> {
    let command = translation(tool, world, job.dir);
    (job.on_line)(&format!("$ {command}"));
    let text = command.output().context("zig cannot translate the bindings for C")?;
    bindings::write(job.dir, &format!("{world}.zig"), (text + "\n").as_bytes())
}

fn translation(tool: &[String], world: &str, dir: &Path) -> Command {
    // The header doesn't need libc. With it, its declarations would be translated too.
    let header = format!("{FOLDER}/{world}.h");
    let args = ["translate-c", &header, "-target", "wasm32-freestanding"];
    Command::new(&tool[0], tool[1..].iter().map(String::as_str).chain(args), dir)
}

fn command(tool: &[String], world: &str, module: &Path, dir: &Path) -> Command {
    let out = format!("-femit-bin={}", module.display());
    let bindings = c::binding_files(world);
    let args = ["build-exe", "hooks.zig", &bindings[0], &bindings[1], "-I", FOLDER, "-lc"].into_iter().chain([
        "-target",
        "wasm32-wasi",
        "-mexec-model=reactor",
        "-O",
        "ReleaseSmall",
        &out,
    ]);
    Command::new(&tool[0], tool[1..].iter().map(String::as_str).chain(args), dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hooks_are_compiled_with_the_bindings_of_their_world() {
        let tool = ["python3", "-m", "ziglang"].map(str::to_owned);
        let command = command(&tool, "upgrade", Path::new("/out/m.wasm"), Path::new("/app/hooks"));
        assert_eq!(
            command.to_string(),
            "python3 -m ziglang build-exe hooks.zig bindings/upgrade.c bindings/upgrade_component_type.o -I bindings -lc -target \
             wasm32-wasi -mexec-model=reactor -O ReleaseSmall -femit-bin=/out/m.wasm"
        );
    }
}
