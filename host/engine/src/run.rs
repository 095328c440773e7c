//! The life of one run: the lock, the facts, the hooks, the steps, the end.

mod checkout;
mod execution;
pub mod follow;
pub mod repository;
pub mod worker;

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};
use gatling_config::dotenv::Dotenv;
use gatling_config::roots::ProjectPaths;
use gatling_config::secrets;
use gatling_config::settings::{OperatorSettings, PROJECT_FILE, ProjectSettings};
use gatling_hook_host::{MAX_FILE_SIZE, Preload, compile_ahead};
use gatling_pipeline::{Pipeline, Source};
use gatling_report::text::short;
use gatling_runs::lock::Lock;
use gatling_runs::{Event, Events, Outcome, Redactor, Runs, State, Summary};

use crate::facts::gather;
use crate::toolchain::explain;
use crate::{hooks, restart, serving};
use execution::Execution;
use repository::Repository;

/// What is asked of a run.
#[derive(Clone, Debug)]
pub struct Request {
    /// The project.
    pub paths: ProjectPaths,
    /// The run's id.
    pub id: String,
    /// What the run does.
    pub goal: Goal,
    /// Who asks.
    pub by: String,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Deploy what was pushed: `deploy` the first time, `upgrade` after that.
    Push,
    /// This pipeline.
    Pipeline(Pipeline),
    /// Restart the app, with the variables that its `.env` has now.
    Restart,
}

impl Goal {
    const PUSH: &str = "push";
    const RESTART: &str = "restart";

    /// Its name: that of the pipeline, `push` or `restart`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Push => Self::PUSH.to_owned(),
            Self::Pipeline(pipeline) => pipeline.to_string(),
            Self::Restart => Self::RESTART.to_owned(),
        }
    }

    /// Whether this is the pipeline.
    #[must_use]
    pub fn is(self, pipeline: Pipeline) -> bool {
        self == Self::Pipeline(pipeline)
    }
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            Self::PUSH => Ok(Self::Push),
            Self::RESTART => Ok(Self::Restart),
            name => name.parse().map(Self::Pipeline),
        }
    }
}

/// Carries out a request, from the lock to the last event.
///
/// # Errors
/// When the run fails or can't begin. By then, the events contain the reason.
pub fn carry_out(request: &Request, events: &Events) -> Result<()> {
    hide_secrets(&request.paths, events);
    events.emit(Event::Begun {
        run: request.id.clone(),
        project: request.paths.name.to_string(),
        pipeline: (request.goal != Goal::Push).then(|| request.goal.name()),
        by: request.by.clone(),
        gatling: env!("CARGO_PKG_VERSION").to_owned(),
    });
    let mut begun = Instant::now();
    let mut run = match Run::begin(request, events) {
        Ok(run) => run,
        Err(error) => {
            events.emit(failure(request, request.goal, &error, begun));
            return Err(error);
        }
    };
    if run.waited {
        begun = Instant::now();
    }
    let result = run.go(events);
    // While the lock is held: a run that waits for the lock reads this journal.
    events.emit(match &result {
        Ok(done) => success(done, begun),
        Err(error) => failure(request, run.goal, error, begun),
    });
    result.map(drop)
}

/// How a run succeeded.
enum Done {
    /// There was nothing to do.
    Unchanged,
    /// The app can be reached at these host names, or at this port; nowhere, once it is unloaded.
    Serving(Vec<String>),
}

struct Run<'a> {
    request: &'a Request,
    runs: Runs,
    lock: Lock,
    /// What it does: for a push, the pipeline once that is decided.
    goal: Goal,
    /// Killed runs whose changed files have not been restored yet.
    killed: Vec<String>,
    waited: bool,
}

impl<'a> Run<'a> {
    /// Takes the lock, and waits for it if another run holds it.
    fn begin(request: &'a Request, events: &Events) -> Result<Self> {
        let state_dir = request.paths.state_dir();
        let runs = Runs::below(&state_dir);
        let name = &request.paths.name;
        let mut waited = false;
        let mut lock = Lock::take(&lock_file(&request.paths), |owner| {
            waited = true;
            events.emit(Event::Waiting { holder: owner.to_owned() });
            compile_pushed_hooks(request);
        })?;
        if waited {
            events.emit(Event::Waited);
            // The variables may have changed during the wait.
            hide_secrets(&request.paths, events);
        }
        lock.announce(&format!("run {} of {name}, begun by {}", request.id, request.by));
        let killed = runs.killed(&request.id)?;
        for other in &killed {
            events.note(format!("the run {other} was killed before it ended"));
        }
        Ok(Self { request, runs, lock, goal: request.goal, killed, waited })
    }

    fn go(&mut self, events: &Events) -> Result<Done> {
        let paths = &self.request.paths;
        let repository = Repository::at(&paths.build_dir());
        let branch = repository.branch();
        if self.goal == Goal::Restart {
            return restart::restart(paths, events).map(Done::Serving);
        }
        let pipeline = self.decide()?;
        self.goal = Goal::Pipeline(pipeline);
        if pipeline == Pipeline::Unload {
            return self.unload(&repository, events);
        }

        let tips = repository.tips(&branch)?;
        let Some(commit) = tips.branch.clone() else {
            bail!(
                "nothing was pushed to the branch {branch} yet: push to it with `git push SERVER HEAD:{branch}`, or deploy \
                 another branch with `gatling load {} --branch NAME`",
                paths.name
            );
        };
        if self.waited && self.request.goal == Goal::Push && self.was_deployed_meanwhile(&commit)? {
            events.note(format!("nothing to do: {branch} {} is already serving", short(&commit)));
            return Ok(Done::Unchanged);
        }
        self.lock.announce(&format!(
            "{pipeline} of {} to {branch} {}, begun by {} (run {})",
            paths.name,
            short(&commit),
            self.request.by,
            self.request.id
        ));
        let leftovers = self.runs.folder(&self.request.id).join("leftovers.patch");
        repository.check_out(&tips, &commit, !self.killed.is_empty(), &leftovers, events)?;
        repository.remove_builds_from_the_future(events)?;
        self.note_recovery();
        if pipeline == Pipeline::Deploy {
            make_secret(paths, events)?;
        }
        let source = Source { commit: commit.clone(), branch };
        // Prepared while mix is asked about the project, and during the first steps.
        let preload = hooks::prepare(paths, pipeline);
        let result = self.run_pipeline(pipeline, &source, preload, events);
        if let Err(error) = repository.revert_build_changes(&commit, events) {
            events.warn(format!("cannot revert the files that the build changed: {error:#}"));
        }
        result
    }

    /// The pipeline to run: the requested one, if the project's state allows it.
    fn decide(&self) -> Result<Pipeline> {
        let paths = &self.request.paths;
        match (self.goal, paths.is_deployment_complete()) {
            (Goal::Push | Goal::Restart, true) => Ok(Pipeline::Upgrade),
            (Goal::Push | Goal::Restart, false) => Ok(Pipeline::Deploy),
            (Goal::Pipeline(Pipeline::Deploy), true) => bail!(
                "{0} is already deployed; the current release is {1}. To deploy the latest commit: gatling upgrade {0}",
                paths.name,
                paths.current_release().unwrap_or_default()
            ),
            (Goal::Pipeline(Pipeline::Upgrade), false) if paths.is_deployed() => {
                bail!("the first deployment of {0} is not complete: run it again with `gatling deploy {0}`", paths.name)
            }
            (Goal::Pipeline(Pipeline::Upgrade), false) => {
                bail!("{0} is not deployed yet; deploy it with `gatling deploy {0}`", paths.name)
            }
            (Goal::Pipeline(pipeline), _) => Ok(pipeline),
        }
    }

    /// Notes that the files that killed runs had changed are restored.
    fn note_recovery(&mut self) {
        for killed in self.killed.drain(..) {
            // If this can't be noted, the next run restores them again.
            _ = self.runs.note_recovery(&killed, &self.request.id);
        }
    }

    fn unload(&mut self, repository: &Repository, events: &Events) -> Result<Done> {
        self.note_recovery();
        let source = repository.checked_out().unwrap_or_default();
        let paths = &self.request.paths;
        let preload = hooks::prepare(paths, Pipeline::Unload);
        self.run_pipeline(Pipeline::Unload, &source, preload, events)
    }

    fn run_pipeline(
        &mut self,
        pipeline: Pipeline,
        source: &Source,
        preload: Option<Preload>,
        events: &Events,
    ) -> Result<Done> {
        let paths = &self.request.paths;
        let gathered = gather(paths, pipeline, source).map_err(|error| explain(error, &paths.build_dir()))?;
        Execution::load(&gathered, preload, &self.request.id, events)?.run()?;
        if pipeline == Pipeline::Deploy {
            // If this fails, the next push only runs the first deployment once more.
            _ = fs::remove_file(paths.deploying_marker());
        }
        let facts = &gathered.facts;
        Ok(Done::Serving(match (pipeline, facts.domains.as_slice()) {
            (Pipeline::Unload, _) => Vec::new(),
            (_, []) => vec![format!("port {}", facts.available_port)],
            (_, domains) => domains.to_vec(),
        }))
    }

    /// Whether a run that this one waited for has deployed this commit, and no later run another one.
    fn was_deployed_meanwhile(&self, commit: &str) -> Result<bool> {
        // A run that was killed may have replaced the release since.
        if !serving::serves_commit(&self.request.paths, commit) {
            return Ok(false);
        }
        let latest = self.runs.latest(LATEST_RUNS)?;
        let others = latest.into_iter().filter(|(id, _)| *id != self.request.id).filter_map(|(_, run)| run.ok());
        // Runs that had nothing to do, and restarts, have no commit.
        let has_commit = |other: &Summary| other.commit.as_ref().is_some_and(|commit| !commit.is_empty());
        let latest = others.filter(has_commit).max_by_key(|other| other.finished_at);
        Ok(latest.is_some_and(|latest| latest.state == State::Succeeded && latest.commit.as_deref() == Some(commit)))
    }
}

/// How many of the latest runs are read.
const LATEST_RUNS: usize = 20;

/// The file that a run of the project has locked.
fn lock_file(paths: &ProjectPaths) -> PathBuf {
    paths.state_dir().join("lock")
}

/// Keeps the values of the project's `.env` out of the journal.
fn hide_secrets(paths: &ProjectPaths, events: &Events) {
    // If the file can't be read, the run fails before any program gets its values.
    let dotenv = Dotenv::read(&paths.dotenv()).unwrap_or_default();
    events.hide(Redactor::new(dotenv.iter(), &[]));
}

/// Generates the secret that a Phoenix app needs, if none is set.
fn make_secret(paths: &ProjectPaths, events: &Events) -> Result<()> {
    let _alone = Lock::take(&paths.state_dir().join("config.lock"), |_| {})?;
    let mut dotenv = Dotenv::read(&paths.dotenv())?;
    if secrets::is_missing(paths, &dotenv) {
        dotenv.set(secrets::NAME, &secrets::generate()?)?;
        dotenv.write(&paths.dotenv())?;
        hide_secrets(paths, events);
        events.note(format!("{} was not set: a new secret was generated for {}", secrets::NAME, paths.name));
    }
    Ok(())
}

/// Compiles the pushed hooks while another run still uses the build dir.
fn compile_pushed_hooks(request: &Request) {
    let pipeline = match request.goal {
        // If the other run succeeds, the project is deployed when this run begins.
        Goal::Push => Pipeline::Upgrade,
        // An unload uses the hooks in the build dir, not the pushed ones.
        Goal::Pipeline(Pipeline::Unload) | Goal::Restart => return,
        Goal::Pipeline(pipeline) => pipeline,
    };
    let paths = request.paths.clone();
    thread::spawn(move || {
        let repository = Repository::at(&paths.build_dir());
        let branch = repository.branch();
        let Some(bytes) = repository.pushed_file(&branch, &pipeline.hooks_file(), MAX_FILE_SIZE) else { return };
        let settings = repository.pushed_file(&branch, PROJECT_FILE, 1 << 20).unwrap_or_default();
        let settings = ProjectSettings::parse(&String::from_utf8_lossy(&settings)).unwrap_or_default();
        let operator = OperatorSettings::read(&paths.roots.config).unwrap_or_default();
        let path = paths.build_dir().join(pipeline.hooks_file());
        if let Ok(file) = hooks::file(path, pipeline, &paths.roots, &settings, &operator) {
            compile_ahead(&file, &bytes);
        }
    });
}

fn success(done: &Done, begun: Instant) -> Event {
    let (outcome, places) = match done {
        Done::Unchanged => (Outcome::Unchanged, Vec::new()),
        Done::Serving(places) => (Outcome::Succeeded, places.clone()),
    };
    let seconds = begun.elapsed().as_secs_f64();
    Event::Ended { outcome, seconds, error: Vec::new(), serving: None, again: None, places }
}

/// What failed, what is serving now, and what to do.
fn failure(request: &Request, goal: Goal, error: &anyhow::Error, begun: Instant) -> Event {
    Event::Ended {
        outcome: Outcome::Failed,
        seconds: begun.elapsed().as_secs_f64(),
        error: error.chain().map(ToString::to_string).collect(),
        serving: Some(serving::look(&request.paths)),
        again: Some(again(request, goal)),
        places: Vec::new(),
    }
}

/// The command that tries again.
fn again(request: &Request, goal: Goal) -> String {
    let paths = &request.paths;
    let command = match goal {
        Goal::Pipeline(Pipeline::Unload) => "unload",
        Goal::Restart => "restart",
        _ if paths.is_deployment_complete() => "upgrade",
        _ => "deploy",
    };
    format!("gatling {command} {}", paths.name)
}
