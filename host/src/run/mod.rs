//! The life of one run: the lock, the env, the hooks, the steps, the record.

pub mod checkout;
pub mod lock;
pub mod log;
pub mod pipeline;
pub mod record;
pub mod standby;
pub mod worker;

use std::path::Path;
use std::thread;

use anyhow::{Result, bail};
use jiff::Timestamp;

use crate::command::{Command, Environment};
use crate::dotenv::Dotenv;
use crate::env::Source;
use crate::hooks::{self, Preload};
use crate::roots::ProjectPaths;
use crate::secrets;
use crate::serving;
use crate::settings::PROJECT_FILE;
use crate::task::Task;
use checkout::{Repository, short};
use lock::Lock;
use log::{FAILURE_MARK, RunLog};
use pipeline::Pipeline;
use record::{Outcome, Record, Runs};

/// What is asked of a run.
#[derive(Clone, Debug)]
pub struct Request {
    /// The project.
    pub paths: ProjectPaths,
    /// The run's id.
    pub id: String,
    /// The task. None for a push: deploy the first time, upgrade after.
    pub task: Option<Task>,
    /// Who asks.
    pub by: String,
}

/// Carries out a request, from the lock to the last line of the log.
///
/// # Errors
/// When the run failed or couldn't begin. The log has said why by then.
pub fn carry_out(request: &Request, log: &RunLog) -> Result<()> {
    let mut run = match Run::begin(request, log) {
        Ok(run) => run,
        Err(error) => {
            report_failure(request, request.task, &error, log);
            return Err(error);
        }
    };
    let result = run.go(log);
    if let Err(error) = &result {
        report_failure(request, run.task, error, log);
    }
    // Only now: whoever waits for the lock reads the record.
    run.end(&result, log);
    result
}

struct Run<'a> {
    request: &'a Request,
    runs: Runs,
    record: Record,
    lock: Lock,
    /// The task, once it is decided.
    task: Option<Task>,
    /// The records of runs that were killed, as long as nothing has set right what they left.
    killed: Vec<Record>,
    waited: bool,
}

impl<'a> Run<'a> {
    /// Takes the lock, waiting for it if need be, and starts the record.
    fn begin(request: &'a Request, log: &RunLog) -> Result<Self> {
        let state_dir = request.paths.state_dir();
        let runs = Runs::open(&state_dir)?;
        let name = &request.paths.name;
        let mut waited = false;
        let mut lock = Lock::take(&state_dir.join("lock"), |owner| {
            waited = true;
            log.line(&format!("gatling: waiting for {owner}"));
            compile_pushed_hooks(request);
        })?;
        lock.announce(&format!("run {} of {name}, begun by {}", request.id, request.by));
        let record = Record {
            id: request.id.clone(),
            project: name.to_string(),
            task: request.task.map(|task| task.name().to_owned()),
            commit: String::new(),
            by: request.by.clone(),
            started_at: Timestamp::now(),
            finished_at: None,
            outcome: Outcome::Running,
            version: None,
            error: None,
            steps: Vec::new(),
        };
        // With the lock in hand, a record that still says `running` is of a run that was killed.
        let mut killed = runs.others(&request.id);
        killed.retain(|other| other.outcome == Outcome::Running);
        for other in &killed {
            log.line(&format!("gatling: the run {} was killed before it ended", other.id));
        }
        runs.save(&record)?;
        Ok(Self { request, runs, record, lock, task: request.task, killed, waited })
    }

    fn go(&mut self, log: &RunLog) -> Result<()> {
        let paths = &self.request.paths;
        let repository = Repository::at(&paths.build_dir());
        let branch = repository.branch();
        let task = self.decide()?;
        self.task = Some(task);
        self.record.task = Some(task.name().to_owned());
        if task == Task::Unload {
            return self.unload(&repository, log);
        }

        let tips = repository.tips(&branch)?;
        let Some(commit) = tips.branch.clone() else {
            bail!(
                "nothing was pushed to the branch {branch} yet: push to it, with `git push SERVER HEAD:{branch}`, or deploy \
                 another branch, with `gatling load {} --branch NAME`",
                paths.name
            );
        };
        if self.waited && self.request.task.is_none() && self.was_deployed_meanwhile(&commit) {
            log.line(&format!(
                "gatling: nothing to do: the run that this push waited for has deployed {branch} {} already",
                short(&commit)
            ));
            return Ok(());
        }
        self.record.commit.clone_from(&commit);
        self.lock.announce(&format!(
            "{task} of {} to {branch} {}, begun by {} (run {})",
            paths.name,
            short(&commit),
            self.request.by,
            self.request.id
        ));
        let leftovers = paths.state_dir().join(format!("leftovers-{}.patch", self.request.id));
        repository.check_out(&tips, &commit, !self.killed.is_empty(), &leftovers, log)?;
        repository.remove_builds_of_the_future(log)?;
        self.settle_killed()?;
        if task == Task::Deploy {
            make_secret(paths, log)?;
        }
        let source = Source { commit: commit.clone(), branch };
        // It is made ready while mix is asked about the project, and beside the first steps.
        let preload = Preload::start(paths, task);
        let result = self.run_pipeline(task, &source, preload, log);
        if let Err(error) = repository.take_back_changes(&commit, log) {
            log.line(&format!("  what the build changed in the build dir could not be taken back: {error:#}"));
        }
        result
    }

    /// The task that was asked for, if this is the time for it.
    fn decide(&self) -> Result<Task> {
        let paths = &self.request.paths;
        match (self.request.task, paths.is_deployed()) {
            (None, true) => Ok(Task::Upgrade),
            (None, false) => Ok(Task::Deploy),
            (Some(Task::Deploy), true) => bail!(
                "{0} is deployed already: release {1} is the current one. Bring it to the newest commit with `gatling upgrade {0}`",
                paths.name,
                paths.current_release().unwrap_or_default()
            ),
            (Some(Task::Upgrade), false) => {
                bail!("{0} is not deployed yet: deploy it the first time with `gatling deploy {0}`", paths.name)
            }
            (Some(task), _) => Ok(task),
        }
    }

    /// What killed runs have left is set right: from now on they are runs that failed.
    fn settle_killed(&mut self) -> Result<()> {
        for mut killed in self.killed.drain(..) {
            killed.outcome = Outcome::Failed;
            killed.error = Some("it was killed".to_owned());
            self.runs.save(&killed)?;
        }
        Ok(())
    }

    fn unload(&mut self, repository: &Repository, log: &RunLog) -> Result<()> {
        self.settle_killed()?;
        let source = repository.checked_out().unwrap_or_default();
        let paths = &self.request.paths;
        let preload = Preload::start(paths, Task::Unload);
        self.run_pipeline(Task::Unload, &source, preload, log)
    }

    fn run_pipeline(&mut self, task: Task, source: &Source, preload: Option<Preload>, log: &RunLog) -> Result<()> {
        let (env, standby) = standby::build_env(&self.request.paths, task, source)?;
        self.record.version = Some(env.version.clone());
        let mut pipeline = Pipeline::load(&env, preload, standby, &self.request.id, self.record.started_at, log)?;
        let result = pipeline.run();
        self.record.steps = pipeline.into_steps();
        result
    }

    /// Whether a run that this one waited for deployed this very commit, and no other since.
    fn was_deployed_meanwhile(&self, commit: &str) -> bool {
        let others = self.runs.others(&self.request.id);
        // Those that had nothing to do have no commit.
        let latest = others.iter().filter(|other| !other.commit.is_empty()).max_by_key(|other| other.finished_at);
        latest.is_some_and(|latest| latest.outcome == Outcome::Succeeded && latest.commit == commit)
    }

    fn end(&mut self, result: &Result<()>, log: &RunLog) {
        self.record.finished_at = Some(Timestamp::now());
        self.record.outcome = if result.is_ok() { Outcome::Succeeded } else { Outcome::Failed };
        self.record.error = result.as_ref().err().map(|error| format!("{error:#}"));
        if let Err(error) = self.runs.save(&self.record) {
            log.line(&format!("gatling: {error:#}"));
        }
    }
}

/// Makes the secret that a Phoenix app needs, where none is set.
fn make_secret(paths: &ProjectPaths, log: &RunLog) -> Result<()> {
    let _alone = Lock::take(&paths.state_dir().join("config.lock"), |_| {})?;
    let mut dotenv = Dotenv::read(&paths.dotenv())?;
    if secrets::is_missing(paths, &dotenv) {
        dotenv.set(secrets::NAME, &secrets::generate()?)?;
        dotenv.write(&paths.dotenv())?;
        log.line(&format!("gatling: {} was not set: a new secret was generated for {}", secrets::NAME, paths.name));
    }
    Ok(())
}

/// Compiles the hooks that were pushed, while the run that is under way has the build dir.
fn compile_pushed_hooks(request: &Request) {
    // By the time that this one's turn comes the project is deployed, if all goes well.
    let task = request.task.unwrap_or(Task::Upgrade);
    // What is unloaded is what is in the build dir, whatever was pushed.
    if task == Task::Unload {
        return;
    }
    let paths = request.paths.clone();
    thread::spawn(move || {
        let repository = Repository::at(&paths.build_dir());
        let branch = repository.branch();
        let Some(hooks) = repository.pushed_file(&branch, &task.hooks_file(), hooks::LARGEST) else { return };
        let settings = repository.pushed_file(&branch, PROJECT_FILE, 1 << 20).unwrap_or_default();
        hooks::compile_ahead(&hooks, &String::from_utf8_lossy(&settings), task, &paths.roots);
    });
}

/// Says what failed, what serves now, and what to do.
fn report_failure(request: &Request, task: Option<Task>, error: &anyhow::Error, log: &RunLog) {
    let paths = &request.paths;
    let what = task.map_or("the run", Task::name);
    log.line(&format!("gatling: {what} of {}{FAILURE_MARK}{}", paths.name, chain(error)));
    log.line(&format!("  {}", serving(paths)));
    if task == Some(Task::Unload) {
        log.line(&format!("  Fix it, and go on with: gatling unload {}", paths.name));
    } else {
        let again = if paths.is_deployed() { "upgrade" } else { "deploy" };
        log.line(&format!(
            "  Fix it and push again. To try the same commit again, run on the server: gatling {again} {}",
            paths.name
        ));
    }
    log.line(&format!(
        "  The whole log: {}",
        paths.state_dir().join("runs").join(format!("{}.log", request.id)).display()
    ));
}

/// What there is to say when a run ended and could not speak for itself.
fn death(request: &Request, how: &str) -> String {
    let paths = &request.paths;
    let again = if paths.is_deployed() { "upgrade" } else { "deploy" };
    format!(
        "gatling: the run {} {how}.\n  {}\n  To try again, run on the server: gatling {} {}",
        request.id,
        serving(paths),
        request.task.map_or(again, Task::name),
        paths.name
    )
}

/// An error with its causes, one below the other.
fn chain(error: &anyhow::Error) -> String {
    let causes: Vec<_> = error.chain().map(|cause| cause.to_string().replace('\n', "\n  ")).collect();
    causes.join("\n  because ")
}

/// What serves at this moment: looked at, not remembered.
fn serving(paths: &ProjectPaths) -> String {
    let name = &paths.name;
    let Some(release) = paths.current_release().filter(|_| paths.is_deployed()) else {
        return format!("{name} is not deployed: nothing serves.");
    };
    let script = paths.init_script();
    // It knows the app's own process, where a connection could be to anybody.
    let mut ping = Command::new(&script.display().to_string(), ["ping"], Path::new("/"));
    ping.environment = Environment::Only(&["LANG", "PATH", "TERM"]);
    match ping.output() {
        Ok(_) => match serving::unserved(paths) {
            Ok(None) => format!("{name} {release} is serving."),
            Ok(Some(visit)) => format!("{name} {release} runs, but visitors are NOT served: {visit}"),
            Err(error) => format!("{name} {release} runs; whether visitors are served is not known: {error:#}"),
        },
        Err(_) => {
            let restart = match paths.roots.etc_is_the_systems() {
                true => format!("service {name} restart"),
                false => format!("{} restart", script.display()),
            };
            format!("{name} is NOT serving: its release {release} does not answer. Start it with: {restart}")
        }
    }
}
