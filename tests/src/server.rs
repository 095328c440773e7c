//! A server where hello 0.1.0 serves, which the tests of one program share: deploying it takes seconds, and most tests
//! change nothing if they succeed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result};

use crate::{Output, Project, Sandbox};

/// The release that serves when a test gets the server.
pub const VERSION: &str = "0.1.0";

/// The text of hello's `.env`. Without a node name, no epmd is left running.
const DOTENV: &str = "RELEASE_DISTRIBUTION='none'\n";

/// A git hook that records the exit code of the one that `gatling load` wrote: git itself ignores it.
const RECORDING_GIT_HOOK: &str = "#!/bin/sh\n\"$0.gatling\" \"$@\"\necho $? >\"$0.code\"\n";

/// A server that tests use one after the other. The first use creates it, and it is removed when the program exits.
pub struct Shared(OnceLock<Mutex<Server>>);

/// The server, while one test uses it.
pub struct Server {
    /// The folders, nginx and `gatling`.
    pub sandbox: &'static Sandbox,
    /// The repository that tests push from.
    pub hello: Project<'static>,
    commit: String,
    config: String,
}

/// The result of a Gatling command or a push.
#[derive(Debug)]
pub struct Run {
    /// Gatling's exit code; none if it was not called, or was killed.
    pub code: Option<i32>,
    /// The output.
    pub output: Output,
}

/// The process that serves, and its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Serving {
    /// Its id.
    pub pid: u32,
    /// The status and the body of nginx's answer at `/`.
    pub answer: (u16, String),
}

impl Shared {
    /// A server that is not created yet.
    #[expect(clippy::new_without_default, reason = "a static needs a const fn")]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The server in its original state, for this test only.
    ///
    /// # Panics
    /// If hello cannot be deployed, or the original state cannot be restored.
    pub fn lock(&self) -> MutexGuard<'_, Server> {
        let server = self.0.get_or_init(|| Mutex::new(Server::deploy().expect("hello can be deployed")));
        // `restore` also undoes the changes of a failed test.
        let server = server.lock().unwrap_or_else(PoisonError::into_inner);
        server.restore().expect("the server can be restored");
        server
    }
}

impl Server {
    fn deploy() -> Result<Self> {
        let sandbox = Sandbox::shared()?;
        let hello = sandbox.project("hello")?;
        sandbox.run(&["load", "hello"])?.expect_success()?;
        let hook = sandbox.home().join("hello/.git/hooks/post-update");
        fs::rename(&hook, hook.with_extension("gatling"))?;
        fs::write(&hook, RECORDING_GIT_HOOK)?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
        let server = Self { sandbox, commit: hello.head()?, config: fs::read_to_string(sandbox.config())?, hello };
        fs::write(server.dotenv(), DOTENV)?;
        server.push()?.expect_code(0)?;
        sandbox.wait_for_answer(200, &answer(VERSION))?;
        Ok(server)
    }

    /// Restores everything: the pushing repository, the build dir, the settings, the app.
    fn restore(&self) -> Result<()> {
        restore_repositories(&self.hello, &self.commit)?;
        fs::write(self.dotenv(), DOTENV)?;
        fs::write(self.sandbox.config(), &self.config)?;
        let current = fs::read_link(self.deploy_dir().join("current"))?;
        if !current.ends_with(VERSION) {
            self.script(&["upgrade", VERSION])?.expect_code(0)?;
        }
        self.script(&["start"])?.expect_code(0)?;
        forget_other_releases(&self.deploy_dir())?;
        self.sandbox.wait_for_answer(200, &answer(VERSION))
    }

    /// The build dir: the project's repository on the server.
    pub fn build_dir(&self) -> PathBuf {
        self.sandbox.home().join("hello")
    }

    /// The folder of the deployed app.
    pub fn deploy_dir(&self) -> PathBuf {
        self.sandbox.home().join("deployments/hello")
    }

    /// The app's variables.
    pub fn dotenv(&self) -> PathBuf {
        self.deploy_dir().join(".env")
    }

    /// Commits all changes and pushes them to `main`.
    pub fn push(&self) -> Result<Run> {
        self.hello.commit("Something else")?;
        self.push_refs(&["+main"])
    }

    /// Pushes `refs`.
    pub fn push_refs(&self, refs: &[&str]) -> Result<Run> {
        self.push_with(&mut self.hello.push_command(refs))
    }

    /// Runs a command that pushes. The exit code is that of `gatling receive`, which git does not return.
    pub fn push_with(&self, push: &mut Command) -> Result<Run> {
        let noted = self.build_dir().join(".git/hooks/post-update.code");
        _ = fs::remove_file(&noted);
        let output = Output::of(push)?;
        let code = fs::read_to_string(&noted).ok().and_then(|code| code.trim().parse().ok());
        Ok(Run { code, output })
    }

    /// Runs `gatling` with `args`.
    pub fn gatling(&self, args: &[&str]) -> Result<Run> {
        Ok(Run::from(self.sandbox.run(args)?))
    }

    /// Runs the init script with `args`, in the environment that `service` would give it.
    pub fn script(&self, args: &[&str]) -> Result<Run> {
        let mut command = self.sandbox.command(self.sandbox.etc().join("hello"), "/".as_ref());
        let path =
            command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path.map(ToOwned::to_owned));
        command.env_clear().env("PATH", path.context("a sandbox has a PATH")?).args(args);
        Ok(Run::from(Output::of(&mut command)?))
    }

    /// What serves now.
    pub fn serving(&self) -> Result<Serving> {
        let file = self.deploy_dir().join("run/hello.pid");
        let pid = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok(Serving { pid: pid.trim().parse()?, answer: self.sandbox.get("/")? })
    }
}

impl Run {
    /// This, or an error with the output if Gatling returned another code.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        anyhow::ensure!(self.code == Some(code), "the exit code is {:?}, not {code}:\n{}", self.code, self.text());
        Ok(self)
    }

    /// The output, as text.
    pub fn text(&self) -> String {
        self.output.lines().join("\n")
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self { code: output.status.code(), output }
    }
}

/// Removes all releases but the first one, so that their names are free again.
pub(crate) fn forget_other_releases(deploy_dir: &Path) -> Result<()> {
    for entry in fs::read_dir(deploy_dir.join("releases"))? {
        let entry = entry?;
        if entry.file_name() != VERSION {
            fs::remove_dir_all(entry.path())?;
        }
    }
    for file in ["served", "names"] {
        fs::write(deploy_dir.join(file), format!("{VERSION}\n"))?;
    }
    Ok(())
}

/// Restores the pushing repository and the build dir to `commit`, except ignored files.
pub(crate) fn restore_repositories(project: &Project<'_>, commit: &str) -> Result<()> {
    project.git(&["checkout", "--quiet", "--force", "main"])?;
    project.git(&["reset", "--quiet", "--hard", commit])?;
    project.git(&["clean", "--quiet", "-ffd"])?;
    let sandbox = project.sandbox();
    let on_server = |args: &[&str]| sandbox.git(&sandbox.home().join(project.name()), args);
    for name in ["refs/heads/main", "refs/gatling/checkout"] {
        on_server(&["update-ref", name, commit])?;
    }
    on_server(&["read-tree", "--reset", "-u", commit])?;
    on_server(&["clean", "--quiet", "-ffd"])?;
    Ok(())
}

/// The answer of this version of hello at `/`.
pub fn answer(version: &str) -> String {
    format!("hello {version}\n")
}
