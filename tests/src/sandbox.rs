//! The sandbox: the folders, the settings and the environment of a server in a folder.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::exit::at_exit;
use crate::nginx::Nginx;
use crate::{Output, PhoenixApp, Project, Running, http, places, processes, waiting};

/// The first host name in the example app's `domains`.
pub const HOST: &str = "www.example.com";

/// How long an init script may take to stop its app.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// Variables of the caller that would change what git, mix or a release do.
const FOREIGN_PREFIXES: [&str; 5] = ["GIT_", "MIX_", "RELEASE_", "PHX_", "GATLING_"];

/// The git settings of the pushing user. The machine's own settings are not read.
const GIT_CONFIG: &str = "\
[user]
    name = Ada
    email = ada@example.com
[init]
    defaultBranch = main
[advice]
    detachedHead = false
";

/// A server in a folder. Dropping it ends its processes and removes it.
pub struct Sandbox {
    root: TempDir,
    nginx: Nginx,
    program: PathBuf,
    path: OsString,
    /// Variables that the caller has added.
    added: Vec<(OsString, OsString)>,
    kept: bool,
    /// How many background programs were started.
    started: AtomicU32,
}

impl Sandbox {
    /// Makes the folders and the settings, and starts nginx on a free port.
    pub fn new() -> Result<Self> {
        Self::with_program(places::gatling()?)
    }

    /// A sandbox for several tests to share. It is removed when the program exits.
    pub fn shared() -> Result<&'static Self> {
        let sandbox: &'static Self = Box::leak(Box::new(Self::new()?));
        at_exit(|| sandbox.end());
        Ok(sandbox)
    }

    /// A sandbox whose `gatling` is `program`.
    pub fn with_program(program: PathBuf) -> Result<Self> {
        Self::below(&env::temp_dir(), program)
    }

    /// A sandbox in a folder of its own in `folder`.
    pub fn below(folder: &Path, program: PathBuf) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("gatling-").tempdir_in(folder);
        let root = root.context("making a folder for the sandbox")?;
        for folder in ["home", "etc", "logrotate", "work"] {
            fs::create_dir(root.path().join(folder))?;
        }
        fs::write(root.path().join("gitconfig"), GIT_CONFIG)?;
        let path = search_path(&program)?;
        let nginx = match Nginx::start(root.path().join("nginx"), &path) {
            Ok(nginx) => nginx,
            Err(error) => {
                processes::end(root.path());
                return Err(error);
            }
        };
        let sandbox = Self { root, nginx, program, path, added: Vec::new(), kept: false, started: AtomicU32::new(0) };
        fs::write(sandbox.config(), format!("[nginx]\nlisten = [\"127.0.0.1:{}\"]\n", sandbox.nginx_port()))?;
        Ok(sandbox)
    }

    /// The folder that contains everything else.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// `GATLING_HOME`: the projects' repositories and their deployments.
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// `GATLING_ETC_DIR`: the init scripts.
    pub fn etc(&self) -> PathBuf {
        self.root().join("etc")
    }

    /// `GATLING_LIB_DIR`: the projects' files that nginx reads.
    pub fn lib(&self) -> PathBuf {
        self.root().join("lib")
    }

    /// `GATLING_LOGROTATE_DIR`: logrotate's settings for the apps' logs.
    pub fn logrotate(&self) -> PathBuf {
        self.root().join("logrotate")
    }

    /// `GATLING_NGINX_DIR`: nginx's configuration, its sites and its logs.
    pub fn nginx_dir(&self) -> &Path {
        &self.nginx.folder
    }

    /// `GATLING_CONFIG`: the operator's file.
    pub fn config(&self) -> PathBuf {
        self.root().join("operator.toml")
    }

    /// The port on 127.0.0.1 that nginx serves the sites on.
    pub fn nginx_port(&self) -> u16 {
        self.nginx.port
    }

    /// The file that holds nginx's process id.
    pub fn nginx_pid_file(&self) -> PathBuf {
        self.nginx.pid_file()
    }

    /// The variables that make `gatling` work in this sandbox.
    pub fn variables(&self) -> [(&'static str, OsString); 6] {
        [
            ("GATLING_HOME", self.home().into()),
            ("GATLING_ETC_DIR", self.etc().into()),
            ("GATLING_LOGROTATE_DIR", self.logrotate().into()),
            ("GATLING_LIB_DIR", self.lib().into()),
            ("GATLING_NGINX_DIR", self.nginx_dir().into()),
            ("GATLING_CONFIG", self.config().into()),
        ]
    }

    /// Adds these variables to every command in this sandbox, and to every session of an [`Sshd`](crate::Sshd) that is
    /// started later.
    pub fn add_variables(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        self.added.extend(variables);
    }

    /// The variables that the caller has added.
    pub fn added_variables(&self) -> &[(OsString, OsString)] {
        &self.added
    }

    /// The git settings of everything in this sandbox.
    pub fn git_config(&self) -> PathBuf {
        self.root().join("gitconfig")
    }

    /// A command that runs `program` in `folder` with the environment of the sandbox's server.
    ///
    /// A push needs it too: if the remote is a path, git passes its own environment to the git hooks of the repository
    /// that it pushes to.
    pub fn command(&self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in env::vars_os() {
            let foreign = |prefix: &&str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
            if name == "PORT" || FOREIGN_PREFIXES.iter().any(foreign) {
                command.env_remove(name);
            }
        }
        command
            .current_dir(folder)
            .envs(self.variables())
            .env("PATH", &self.path)
            .env("GIT_CONFIG_GLOBAL", self.git_config())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            // Long lines are not wrapped, so that tests can find them.
            .env("COLUMNS", "1000000")
            .envs(self.added.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A command that runs `gatling` with `args`.
    pub fn gatling(&self, args: &[&str]) -> Command {
        let mut command = self.command(&self.program, self.root());
        command.args(args);
        command
    }

    /// Runs `gatling` with `args`.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        Output::of(&mut self.gatling(args))
    }

    /// Starts `command` in the background.
    pub fn start(&self, command: &mut Command) -> Result<Running> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Running::start(command, self.root().join("work").join(format!("output-{number}")))
    }

    /// Runs git with `args` in `folder`. Fails if git fails.
    pub fn git(&self, folder: &Path, args: &[&str]) -> Result<Output> {
        Output::of(self.command("git", folder).args(args))?
            .expect_success()
            .with_context(|| format!("git {} in {}", args.join(" "), folder.display()))
    }

    /// The example app as the project `name`, in its own repository: committed, and with the remote `server`. It is not
    /// watched after its first good answer, so that tests are quick.
    pub fn project(&self, name: &str) -> Result<Project<'_>> {
        Project::from_example(self, name)
    }

    /// The example app as the project `name`, loaded and ready for its first push. Its release has no node name, so
    /// that no epmd is left running.
    pub fn load(&self, name: &str) -> Result<Project<'_>> {
        let project = self.project(name)?;
        self.run(&["load", name])?.expect_success()?;
        self.run(&["config", "set", name, "RELEASE_DISTRIBUTION=none"])?.expect_success()?;
        Ok(project)
    }

    /// Gives the project's release a node name: its nodes find each other, but not those of other sandboxes.
    pub fn let_nodes_connect(&self, project: &str) -> Result<()> {
        let epmd = format!("ERL_EPMD_PORT={}", http::free_port()?);
        self.run(&["config", "unset", project, "RELEASE_DISTRIBUTION"])?.expect_success()?;
        self.run(&["config", "set", project, &epmd])?.expect_success()?;
        Ok(())
    }

    /// A project that [`Sandbox::load`] has made before.
    pub fn existing(&self, name: &str) -> Project<'_> {
        Project::without_files(self, name)
    }

    /// A project without files: the caller makes its folder, its files and its repository.
    pub fn empty_project(&self, name: &str) -> Project<'_> {
        Project::without_files(self, name)
    }

    /// The app `shop`, like those of `mix phx.new`, in its own repository: committed, and with the remote `server`.
    pub fn phoenix_app(&self) -> Result<PhoenixApp<'_>> {
        PhoenixApp::new(self)
    }

    /// nginx's answer to a request for `path` on the example app's host name.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        self.get_as(HOST, path)
    }

    /// Waits until nginx answers `/` with `status` and `body`: after a reload, nginx takes a moment to use its new
    /// configuration.
    pub fn wait_for_answer(&self, status: u16, body: &str) -> Result<()> {
        self.wait_for_answer_at("/", status, body)
    }

    /// Waits until nginx answers `path` with `status` and `body`.
    pub fn wait_for_answer_at(&self, path: &str, status: u16, body: &str) -> Result<()> {
        let mut last = None;
        let wanted = (status, body.to_owned());
        let answered = waiting::wait_for("the expected answer of nginx", || {
            last = self.get(path).ok();
            (last.as_ref() == Some(&wanted) && self.nginx.is_settled()).then_some(())
        });
        answered.with_context(|| format!("wanted {wanted:?}, last was {last:?}"))
    }

    /// Reloads nginx's configuration.
    pub fn reload_nginx(&self) -> Result<()> {
        let config = self.nginx_dir().join("nginx.conf");
        let mut nginx = self.command("nginx", self.root());
        Output::of(nginx.arg("-c").arg(config).args(["-s", "reload"]))?.expect_success()?;
        Ok(())
    }

    /// nginx's answer to a request for `path` on `host`.
    pub fn get_as(&self, host: &str, path: &str) -> Result<(u16, String)> {
        http::get(self.nginx_port(), host, path)
    }

    /// An app's answer to a request for `path` on its own `port`, without nginx.
    pub fn get_direct(&self, port: u16, path: &str) -> Result<(u16, String)> {
        http::get(port, HOST, path)
    }

    /// Leaves everything running and keeps the files when the sandbox is dropped.
    pub fn keep(&mut self) {
        self.root.disable_cleanup(true);
        self.kept = true;
    }

    /// Keeps the files for debugging, but still ends the processes.
    pub fn keep_files(&mut self) {
        self.root.disable_cleanup(true);
    }

    /// Ends all processes of the sandbox and removes it, for one that is never dropped.
    fn end(&self) {
        self.stop_apps();
        processes::end(self.root());
        // An error is ignored: it only leaves a few temporary files.
        _ = fs::remove_dir_all(self.root());
    }

    fn stop_apps(&self) {
        let Ok(scripts) = fs::read_dir(self.etc()) else {
            return;
        };
        for script in scripts.flatten() {
            let mut stop = self.command(script.path(), self.root());
            // If a script cannot stop its app, the other apps must still be stopped.
            _ = run_within(STOP_TIMEOUT, stop.arg("stop"));
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.kept {
            self.stop_apps();
            processes::end(self.root());
        }
        if !std::thread::panicking()
            && let Err(error) = self.check_journals()
        {
            panic!("a journal does not match docs/journal.md: {error:#}");
        }
    }
}

/// The caller's `PATH`, with the folder of `gatling` before it and those of daemons after it.
fn search_path(program: &Path) -> Result<OsString> {
    let own = program.parent().context("gatling has no parent folder")?.to_path_buf();
    let callers = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let folders = std::iter::once(own).chain(env::split_paths(&callers)).chain(daemons);
    env::join_paths(folders).context("putting gatling on the PATH")
}

/// Runs `command` without input or output, and kills it after `timeout`.
fn run_within(timeout: Duration, command: &mut Command) -> io::Result<()> {
    use std::process::Stdio;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + timeout;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
