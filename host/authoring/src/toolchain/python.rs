//! Python: componentize-py, which puts CPython into the component.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Job, missing};
use crate::packages::WIT_FOLDER;
use crate::world::World;
use gatling_process::Command;

const INSTALL: &str = "`pip install componentize-py` installs it, best in a virtual environment: `python3 -m venv .venv && . .venv/bin/activate`";

pub(super) fn build(job: &mut Job<'_>, world: &World) -> Result<Vec<u8>> {
    let tool: &[&str] = if job.has("componentize-py") {
        &["componentize-py"]
    } else if job.succeeds("python3", &["-c", "import componentize_py"]) {
        &["python3", "-m", "componentize_py"]
    } else {
        return Err(missing("componentize-py", INSTALL));
    };
    let out = tempfile::tempdir().context("cannot create a folder for the component")?;
    let file = out.path().join("hooks.wasm");
    job.run(&command(tool, &world.name(), &file, job.dir), INSTALL)?;
    fs::read(&file).context("componentize-py wrote no component")
}

fn command(tool: &[&str], world: &str, file: &Path, dir: &Path) -> Command {
    let file = file.display().to_string();
    let args = ["--wit-path", WIT_FOLDER, "--world", world, "componentize", "hooks", "--output", &file];
    Command::new(tool[0], tool[1..].iter().copied().chain(args), dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_hooks_is_built_for_the_world() {
        let tool = ["python3", "-m", "componentize_py"];
        let command = command(&tool, "unload", Path::new("/out/c.wasm"), Path::new("/app/hooks"));
        assert_eq!(
            command.to_string(),
            "python3 -m componentize_py --wit-path wit --world unload componentize hooks --output /out/c.wasm"
        );
    }
}
