//! A project in the sandbox: the repository that the tests push from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{Gate, Output, Running, Sandbox, places};

/// Build results in the example app's folder.
const BUILT: [&str; 7] = ["_build", "deps", "target", "static", "erl_crash.dump", "upgrade.wasm", "deploy.wasm"];

/// A repository with an app, and the remote `server` to push it to.
pub struct Project<'s> {
    sandbox: &'s Sandbox,
    name: String,
    dir: PathBuf,
}

impl<'s> Project<'s> {
    pub(crate) fn from_example(sandbox: &'s Sandbox, name: &str) -> Result<Self> {
        let project = Self::without_files(sandbox, name);
        project.copy("examples/hello", "", &BUILT)?;
        if name != "hello" {
            project.rename_app()?;
        }
        project.replace("gatling.toml", "[health]\n", "[health]\nwatch = \"0s\"\nsoak = \"0s\"\n")?;
        project.make_repository("An app that says which version is serving")?;
        Ok(project)
    }

    /// A project without any files.
    pub(crate) fn without_files(sandbox: &'s Sandbox, name: &str) -> Self {
        Self { sandbox, name: name.to_owned(), dir: sandbox.root().join("work").join(name) }
    }

    /// Copies the files of `source`, a folder of the workspace, to `target` in the project, except those whose name is
    /// in `except`.
    pub fn copy(&self, source: &str, target: &str, except: &[&str]) -> Result<()> {
        let source = places::workspace().join(source);
        copy(&source, &self.dir.join(target), except).with_context(|| format!("copying {}", source.display()))
    }

    /// Makes the repository, with the remote `server` and a first commit.
    pub fn make_repository(&self, message: &str) -> Result<()> {
        self.git(&["init", "--quiet", "--initial-branch=main"])?;
        self.add_server()?;
        self.commit(message)
    }

    /// Its sandbox.
    pub(crate) fn sandbox(&self) -> &'s Sandbox {
        self.sandbox
    }

    /// The project's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder of this repository.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a file, with the folders it needs. `path` is relative to the project.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let file = self.dir.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))
    }

    /// The text of a file.
    pub fn read(&self, path: &str) -> Result<String> {
        let file = self.dir.join(path);
        fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))
    }

    /// Replaces the first `old` in a file with `new`. It is an error if there is none.
    pub fn replace(&self, path: &str, old: &str, new: &str) -> Result<()> {
        let text = self.read(path)?;
        if !text.contains(old) {
            bail!("there is no `{old}` in {}", self.dir.join(path).display());
        }
        self.write(path, &text.replacen(old, new, 1))
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) -> Result<()> {
        let file = self.dir.join(path);
        fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))
    }

    /// Sets the version in mix.exs.
    pub fn set_version(&self, version: &str) -> Result<()> {
        self.set_version_in("mix.exs", version)
    }

    /// Sets the version in `file`, a mix.exs: in its line `@version "..."` or `version: "..."`.
    pub fn set_version_in(&self, file: &str, version: &str) -> Result<()> {
        let text = self.read(file)?;
        let is_version = |line: &&str| ["@version \"", "version: \""].iter().any(|key| line.trim().starts_with(key));
        let old = text.lines().find(is_version).with_context(|| format!("{file} has no line with a version"))?;
        let parts: Vec<&str> = old.splitn(3, '"').collect();
        self.replace(file, old, &format!("{}\"{version}\"{}", parts[0], parts[2]))
    }

    /// Copies a built component to `file`, such as `upgrade.wasm`.
    pub fn copy_hooks(&self, component: &Path, file: &str) -> Result<()> {
        fs::copy(component, self.dir.join(file)).with_context(|| format!("copying {}", component.display()))?;
        Ok(())
    }

    /// Commits all changes. Also makes a commit if there are none.
    pub fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])?;
        Ok(())
    }

    /// Pushes `main` to the server. A failed push also returns an [`Output`].
    pub fn push(&self) -> Result<Output> {
        self.push_refs(&["main"])
    }

    /// Pushes `main` to the server. Fails with the output unless the new version serves: for git, the push succeeds
    /// independent of the run's outcome.
    pub fn deploy(&self) -> Result<Output> {
        let output = self.push()?;
        ensure!(output.says(" is serving at "), "it was not deployed:\n{}", output.lines().join("\n"));
        Ok(output)
    }

    /// Pushes `refs` to the server: branches, tags, refspecs, or options of `git push`.
    pub fn push_refs(&self, refs: &[&str]) -> Result<Output> {
        Output::of(&mut self.push_command(refs))
    }

    /// The command that pushes `refs`.
    pub fn push_command(&self, refs: &[&str]) -> Command {
        let mut command = self.sandbox.command("git", &self.dir);
        command.args(["push", "server"]).args(refs);
        command
    }

    /// Pushes `refs` to the server while the test does something else.
    pub fn start_push(&self, refs: &[&str]) -> Result<Running> {
        self.sandbox.start(&mut self.push_command(refs))
    }

    /// Adds a gate to mix.exs, where the build waits before it digests the assets.
    pub fn add_gate(&self) -> Result<Gate> {
        let gate = Gate::new(&self.sandbox.root().join("gate"))?;
        self.replace("mix.exs", "\"assets.deploy\": [", "\"assets.deploy\": [&wait_at_gate/1, ")?;
        self.replace("mix.exs", "\nend\n", &format!("\n\n{}end\n", gate.function("wait_at_gate")))?;
        Ok(gate)
    }

    /// Commits a build that waits at a gate and pushes it. Returns when the build has reached the gate.
    pub fn push_to_gate(&self) -> Result<(Running, Gate)> {
        let gate = self.add_gate()?;
        self.commit("A build that waits")?;
        let push = self.start_push(&["main"])?;
        gate.wait()?;
        Ok((push, gate))
    }

    /// The commit that is checked out.
    pub fn head(&self) -> Result<String> {
        Ok(self.git(&["rev-parse", "HEAD"])?.stdout.trim_end().to_owned())
    }

    /// Runs git with `args` in this repository. Fails if git fails.
    pub fn git(&self, args: &[&str]) -> Result<Output> {
        self.sandbox.git(&self.dir, args)
    }

    /// Another user's clone of this repository, in a folder with the given name. It pushes to the same project.
    pub fn clone_as(&self, folder: &str) -> Result<Project<'s>> {
        let dir = self.sandbox.root().join("work").join(folder);
        self.git(&["clone", "--quiet", ".", &dir.to_string_lossy()])?;
        let clone = Project { sandbox: self.sandbox, name: self.name.clone(), dir };
        clone.add_server()?;
        Ok(clone)
    }

    fn add_server(&self) -> Result<()> {
        let repository = self.sandbox.home().join(&self.name);
        self.git(&["remote", "add", "server", &repository.to_string_lossy()])?;
        Ok(())
    }

    /// Renames the example's app to the project's name.
    fn rename_app(&self) -> Result<()> {
        self.replace("mix.exs", "app: :hello", &format!("app: :{}", self.name))?;
        for file in ["config/runtime.exs", "lib/hello/application.ex", "lib/hello/router.ex"] {
            self.replace(file, ":hello,", &format!(":{},", self.name))?;
        }
        Ok(())
    }
}

/// Copies a folder, except entries whose name is in `except`.
fn copy(from: &Path, to: &Path, except: &[&str]) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if except.iter().any(|name| entry.file_name() == *name) {
            continue;
        } else if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, except)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
