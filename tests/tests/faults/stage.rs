//! A server on which a deployment takes less than a second: mix, Elixir and the app are stand-ins; git, nginx, the init
//! script and everything else are real.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use gatling_tests::{Output, Project, Running, Sandbox, places, processes, stand_in, waiting};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long visitors may get no answer after something was killed: what an init script may take that goes on.
const OUTAGE: Duration = Duration::from_secs(10);

pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    /// The version that was pushed last.
    version: u32,
    /// The pushing user's files, on another machine.
    _work: TempDir,
}

impl Stage {
    /// A server to which hello is not deployed yet.
    pub(crate) fn new() -> Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    /// A server in this folder, to which hello is not deployed yet.
    pub(crate) fn below(folder: &Path) -> Result<Self> {
        let sandbox = Sandbox::below(folder, places::gatling()?)?;
        let work = tempfile::tempdir()?;
        fs::remove_dir(sandbox.root().join("work"))?;
        symlink(work.path(), sandbox.root().join("work"))?;
        let bin = sandbox.root().join("bin");
        stand_in::write_programs(&bin, env!("CARGO_BIN_EXE_stand-in-app"))?;
        let operator = fs::read_to_string(sandbox.config())?;
        fs::write(sandbox.config(), format!("path = [{bin:?}]\n{operator}"))?;
        stand_in::write_project(&sandbox.empty_project("hello"))?;
        let stage = Self { sandbox, version: 0, _work: work };
        stage.gatling(&["load", "hello"])?;
        Ok(stage)
    }

    pub(crate) fn hello(&self) -> Project<'_> {
        self.sandbox.empty_project("hello")
    }

    /// Has the project's releases upgraded in place from now on, or not.
    pub(crate) fn upgrade_in_place(&self, is_wanted: bool) -> Result<()> {
        let hello = self.hello();
        let settings = hello.read("gatling.toml")?;
        let others = settings.lines().filter(|line| !line.starts_with("strategy"));
        let strategy = is_wanted.then_some("strategy = \"hot\"");
        let lines: Vec<_> = strategy.into_iter().chain(others).collect();
        hello.write("gatling.toml", &(lines.join("\n") + "\n"))
    }

    /// Commits the next version, and returns it.
    pub(crate) fn next_version(&mut self) -> Result<String> {
        self.next_version_that("")
    }

    /// Commits a next version whose build or app fails: `-broken` or `-crashes`.
    pub(crate) fn next_version_that(&mut self, does: &str) -> Result<String> {
        self.version += 1;
        let version = format!("0.{}.0{does}", self.version);
        stand_in::set_version(&self.hello(), &version, self.version)?;
        Ok(version)
    }

    /// Runs gatling, which must succeed.
    pub(crate) fn gatling(&self, args: &[&str]) -> Result<Output> {
        let output = self.sandbox.run(args)?;
        ensure!(output.status.success(), "gatling {}: {output:?}", args.join(" "));
        Ok(output)
    }

    /// Starts a push, or a command of gatling, whose run has a fault.
    pub(crate) fn start(&self, what: &str, fault: &str) -> Result<Running> {
        let mut command = match what {
            "push" => self.hello().push_command(&["+main"]),
            "unload" => self.sandbox.gatling(&["unload", "hello", "--yes"]),
            command => self.sandbox.gatling(&[command, "hello"]),
        };
        self.sandbox.start(command.env("GATLING_FAULT", fault))
    }

    /// Starts a run, waits until it has come to a point, and kills everything. Returns false if the run ends before: what
    /// programs print is not the same each time.
    pub(crate) fn stop_at(&self, what: &str, number: usize) -> Result<bool> {
        let root = self.sandbox.root();
        let reached = root.join("reached");
        _ = fs::remove_file(&reached);
        let mut run = self.start(what, &format!("{number}:stop:{}", root.display()))?;
        waiting::wait_for("the point", || (reached.exists() || run.has_ended().unwrap_or(true)).then_some(()))?;
        if !reached.exists() {
            run.end()?;
            return Ok(false);
        }
        self.pull_the_plug()?;
        run.end()?;
        Ok(true)
    }

    /// Whether the latest run has synced the file system, at its end.
    pub(crate) fn has_synced(&self) -> Result<bool> {
        let folder = self.sandbox.run_folders("hello").pop().context("there was a run")?;
        Ok(fs::read_to_string(folder.join("journal.jsonl")).unwrap_or_default().contains("\"event\":\"synced\""))
    }

    /// The version that visitors get, if they get one.
    pub(crate) fn served(&self) -> Option<String> {
        let (status, body) = self.sandbox.get("/").ok()?;
        (status == 200).then(|| body.strip_prefix("hello ").map(|version| version.trim().to_owned()))?
    }

    /// Waits until visitors get one of these versions, as long as an outage may take.
    pub(crate) fn wait_for(&self, versions: &[&str]) -> Result<String> {
        let begun = Instant::now();
        loop {
            let served = self.served();
            if let Some(served) = served.clone().filter(|served| versions.contains(&served.as_str())) {
                return Ok(served);
            }
            if begun.elapsed() > OUTAGE {
                bail!("visitors get {served:?}, not one of {versions:?}, after {} s", OUTAGE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn deploy_dir(&self) -> PathBuf {
        self.sandbox.home().join("deployments/hello")
    }

    /// The release that the server boots with, if there is one.
    pub(crate) fn current(&self) -> Option<String> {
        let link = fs::read_link(self.deploy_dir().join("current")).ok()?;
        Some(link.file_name()?.to_str()?.to_owned())
    }

    /// Kills everything that runs for the server at once, nginx too.
    pub(crate) fn pull_the_plug(&self) -> Result<()> {
        // nginx's workers don't show which nginx they belong to.
        let nginx = fs::read_to_string(self.sandbox.nginx_pid_file()).unwrap_or_default();
        let workers = fs::read_to_string(format!("/proc/{0}/task/{0}/children", nginx.trim())).unwrap_or_default();
        let workers: Vec<_> = workers.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
        let all = || {
            let mut all = processes::of(self.sandbox.root());
            all.extend(workers.iter().copied().filter(|pid| processes::arguments(*pid).concat().starts_with("nginx")));
            all
        };
        waiting::wait_for("everything to be dead", || {
            for pid in all() {
                // An error means that it has ended.
                _ = kill_process(pid, Signal::KILL);
            }
            all().is_empty().then_some(())
        })
    }

    /// Does what a boot does: starts nginx and the service.
    pub(crate) fn boot(&self) -> Result<()> {
        // A server that went down needs more than a minute to come back.
        let before = SystemTime::now() - Duration::from_secs(90);
        find(&self.sandbox.home(), &mut |path| {
            if path.extension().is_some_and(|extension| extension == "lock") {
                _ = fs::File::open(path).and_then(|file| file.set_modified(before));
            }
        });
        // A boot begins without the files of /run.
        _ = fs::remove_file(self.sandbox.nginx_pid_file());
        let mut nginx = self.sandbox.command("nginx", self.sandbox.root());
        let nginx = nginx.arg("-c").arg(self.sandbox.nginx_dir().join("nginx.conf"));
        Output::of(nginx)?.expect_success().context("nginx does not start")?;
        let script = self.sandbox.etc().join("hello");
        if script.exists() && self.current().is_some() {
            let start = Output::of(self.sandbox.command(script, "/".as_ref()).arg("start"))?;
            ensure!(start.status.success(), "the service does not start: {start:?}");
        }
        Ok(())
    }

    /// Fails if something is left that a finished run does not leave: files, processes.
    pub(crate) fn expect_tidy(&self) -> Result<()> {
        let mut left = Vec::new();
        find(self.sandbox.root(), &mut |path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let marks = [".gatling-new", ".partial", "gatling-trial", "current.new", "index.lock", ".tmp", ".old-"];
            if marks.iter().any(|mark| name.contains(mark)) {
                left.push(path.to_owned());
            }
        });
        for release in fs::read_dir(self.deploy_dir().join("releases")).into_iter().flatten().flatten() {
            if !release.path().join("hello").is_dir() {
                left.push(release.path());
            }
        }
        ensure!(left.is_empty(), "files are left: {left:?}");
        // A guard, and the release that served before, end a moment after the run.
        let end = Instant::now() + OUTAGE;
        loop {
            let all = processes::of(self.sandbox.root());
            let (expected, strange): (Vec<_>, Vec<_>) = all.into_iter().partition(|pid| is_expected(*pid));
            let arguments = |pids: &[Pid]| pids.iter().map(|pid| processes::arguments(*pid)).collect::<Vec<_>>();
            let apps: Vec<_> = arguments(&expected).into_iter().filter(|words| is_app(words)).collect();
            // Without an app there is nothing to start again.
            let supervisors = expected.iter().filter(|pid| is_supervisor(**pid)).count();
            if strange.is_empty() && apps.len() <= 1 && supervisors <= apps.len() {
                return Ok(());
            }
            if Instant::now() > end {
                bail!(
                    "processes are left: {:?}; releases that run: {apps:?}, and {supervisors} supervisors",
                    arguments(&strange)
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whether this is the app, what starts it again if it dies, or nginx.
fn is_expected(pid: Pid) -> bool {
    let arguments = processes::arguments(pid);
    let program = arguments.first().map(String::as_str).unwrap_or_default();
    let is_of_supervisor =
        processes::environment(pid).iter().any(|variable| variable.starts_with("GATLING_SUPERVISOR="));
    arguments.is_empty() || is_app(&arguments) || program.starts_with("nginx: ") || is_of_supervisor
}

fn is_supervisor(pid: Pid) -> bool {
    processes::environment(pid).contains(&format!("GATLING_SUPERVISOR={pid}"))
}

fn is_app(arguments: &[String]) -> bool {
    arguments.first().is_some_and(|program| program.ends_with("stand-in-app"))
}

fn find(folder: &Path, found: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        found(&entry.path());
        // git's own objects, and the pushing user's files, are not the server's.
        let skip = ["objects", "work", "bin"].iter().any(|name| entry.file_name() == *name);
        if !skip && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find(&entry.path(), found);
        }
    }
}
