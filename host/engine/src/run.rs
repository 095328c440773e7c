//! The life of one run: the lock, the facts, the hooks, the steps, the end.

mod checkout;
mod execution;
mod explain;
pub mod follow;
pub mod guard;
mod history;
pub mod interrupt;
mod outcome;
mod processes;
pub mod recovery;
pub mod repository;
mod request;
pub mod worker;

use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Result, bail};
use gatling_config::dotenv::Dotenv;
use gatling_config::paths::ProjectPaths;
use gatling_config::secrets;
use gatling_config::settings::{OperatorSettings, PROJECT_FILE, ProjectSettings};
use gatling_hook_host::{MAX_FILE_SIZE, Preload, compile_ahead};
use gatling_pipeline::{Pipeline, Source};
use gatling_report::tables::when;
use gatling_report::text::short;
use gatling_runs::lock::Lock;
use gatling_runs::{Event, Events, Outcome, Redactor, Runs, boot};
use jiff::Timestamp;

use crate::facts::{Gathered, gather, gather_hot};
use crate::perform::Performer;
use crate::toolchain::explain;
use crate::{hooks, marks, restart, serving};
use execution::Execution;
use history::History;
use interrupt::Interrupt;
pub use outcome::deploy_command;
use outcome::{Done, again, failure, success};
use repository::Repository;
pub use request::{Goal, Request, Rollback};

/// Carries out a request, from the lock to the last event, and returns how it ended. The events say more.
pub fn carry_out(request: &Request, interrupt: &Interrupt, events: &Events) -> Outcome {
    hide_secrets(&request.paths, events);
    events.emit(Event::Begun {
        run: request.id.clone(),
        project: request.paths.name.to_string(),
        pipeline: (request.goal != Goal::Push).then(|| request.goal.name()),
        by: request.by.clone(),
        gatling: env!("CARGO_PKG_VERSION").to_owned(),
        pushed: request.pushed.clone(),
        strict: request.strict.is_some(),
        pid: Some(std::process::id()),
        boot: boot::id(),
    });
    // So that the next run sees this one, if the power fails.
    events.sync();
    let mut begun = Instant::now();
    let mut run = match Run::begin(request, interrupt, events) {
        Ok(Some(run)) => run,
        Ok(None) if request.goal == Goal::Recover => return end(success(&Done::Unchanged, begun), events),
        Ok(None) => return end(success(&Done::Superseded, begun), events),
        Err(error) => return end(failure(request, request.goal, &error, interrupt, begun), events),
    };
    if run.waited {
        begun = Instant::now();
    }
    let served = request.paths.current_release();
    let result = run.go(events);
    // While the lock is held: a run that waits for the lock reads this journal.
    let ended = match &result {
        Ok(done) => success(done, begun),
        Err(error) => {
            let mut failure = failure(request, run.goal, error, interrupt, begun);
            // The same command would go back further.
            let has_gone_back = run.goal.is(Pipeline::Rollback) && request.paths.current_release() != served;
            if let (Event::Ended { again, .. }, true) = (&mut failure, has_gone_back) {
                *again = None;
            }
            failure
        }
    };
    let outcome = end(ended, events);
    // Whoever follows the run need not wait for this.
    if run.changes_files && sync(&request.paths).is_ok() {
        events.emit(Event::Synced);
        events.sync();
    }
    outcome
}

/// Syncs the file system of the project.
fn sync(paths: &ProjectPaths) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(&paths.roots.home)?)?)
}

/// Emits the last event of a run, and returns its outcome.
fn end(ended: Event, events: &Events) -> Outcome {
    let Event::Ended { outcome, .. } = ended else { unreachable!("a run ends with this event") };
    events.emit(ended);
    outcome
}

struct Run<'a> {
    request: &'a Request,
    interrupt: &'a Interrupt,
    runs: Runs,
    lock: Lock,
    /// What it does: for a push, the pipeline once that is decided.
    goal: Goal,
    /// Killed runs whose changed files have not been restored yet.
    killed: Vec<String>,
    waited: bool,
    /// Whether it has checked out or removed the project's files.
    changes_files: bool,
}

impl<'a> Run<'a> {
    /// Takes the lock, and waits for it if another run holds it. Returns none if a newer run waits too, which then
    /// deploys the latest commit.
    fn begin(request: &'a Request, interrupt: &'a Interrupt, events: &Events) -> Result<Option<Self>> {
        let runs = Runs::below(&request.paths.state_dir());
        let name = &request.paths.name;
        let mut waited = false;
        let wait = |holder: &str| {
            waited = true;
            events.emit(Event::Waiting { holder: holder.to_owned() });
            compile_pushed_hooks(request);
        };
        if request.goal == Goal::Recover && Lock::try_take(&request.paths.run_lock())?.is_err() {
            // The run in progress has recovered already.
            return Ok(None);
        }
        let mut lock = Lock::take_while(&request.paths.run_lock(), wait, || Ok(interrupt.check()?))?;
        if waited {
            events.emit(Event::Waited);
            if let Some(newer) = History::new(request, &runs).newer()? {
                events.note(format!(
                    "the run {newer} was begun later and deploys the latest commit, so this one has nothing to do"
                ));
                return Ok(None);
            }
            // The variables may have changed during the wait.
            hide_secrets(&request.paths, events);
        }
        lock.announce(&format!("run {} of {name}, begun by {} at {}", request.id, request.by, when(Timestamp::now())));
        recovery::wait_for_guards(&runs, &request.id, events)?;
        let killed = runs.killed(&request.id)?;
        for other in &killed {
            events.note(format!("the run {other} was killed before it ended"));
        }
        Ok(Some(Self { request, interrupt, runs, lock, goal: request.goal, killed, waited, changes_files: false }))
    }

    fn go(&mut self, events: &Events) -> Result<Done> {
        let paths = &self.request.paths;
        let repository = Repository::at(&paths.build_dir());
        let branch = repository.branch();
        recovery::recover(paths, &self.runs, &self.killed, events)?;
        match self.goal {
            Goal::Recover => return Ok(Done::Unchanged),
            Goal::Restart => return restart::restart(paths, self.interrupt, events).map(Done::Serving),
            Goal::Pipeline(Pipeline::Rollback) => {
                let source = repository.checked_out().unwrap_or_default();
                let hooks = (!self.request.rollback.no_hooks).then(|| hooks::prepare(paths, Pipeline::Rollback));
                return self.run_pipeline(Pipeline::Rollback, &source, hooks.flatten(), events);
            }
            Goal::Push | Goal::Pipeline(_) | Goal::Explain => {}
        }
        let pipeline = self.decide()?;
        if self.goal != Goal::Explain {
            self.goal = Goal::Pipeline(pipeline);
        }
        if pipeline == Pipeline::Unload {
            return self.unload(&repository, events);
        }

        let tips = repository.tips(&branch)?;
        let is_strict = self.request.strict.is_some();
        let wanted = if is_strict { self.request.pushed.clone() } else { tips.branch.clone() };
        let Some(commit) = wanted else {
            bail!(
                "nothing was pushed to the branch {branch} yet: push to it with `git push SERVER HEAD:{branch}`, or deploy \
                 another branch with `gatling load {} --branch NAME`",
                paths.name
            );
        };
        if self.request.goal == Goal::Push && pipeline == Pipeline::Upgrade && self.history().is_deployed(&commit)? {
            events.note(format!("nothing to do: {branch} {} is already serving", short(&commit)));
            return Ok(Done::Unchanged);
        }
        for mark in marks::read(paths).iter().filter(|mark| mark.commit.as_ref() == Some(&commit)) {
            events.warn(format!("this commit was deployed before and did not stay: release {mark}"));
        }
        // git does not accept the push if the branch has moved. It moves a moment after the run of the push has ended.
        let has_moved = self.request.strict.as_ref().is_some_and(|old| *old != tips.branch.clone().unwrap_or_default());
        if has_moved || is_strict && self.waited && self.history().was_overtaken()? {
            bail!("another push was deployed in the meantime: fetch it, and push again");
        }
        self.lock.announce(&format!(
            "{pipeline} of {} to {branch} {}, begun by {} at {} (run {})",
            paths.name,
            short(&commit),
            self.request.by,
            when(Timestamp::now()),
            self.request.id
        ));
        repository.sync_from_now_on()?;
        let has_power_failed = self.history().has_power_failed()?;
        let crashed = match (has_power_failed, self.killed.as_slice()) {
            (true, _) => Some("the server went down during or shortly after the previous run,"),
            (false, []) => None,
            (false, _) => Some("the previous run was killed"),
        };
        if has_power_failed {
            repository.remove_builds(events)?;
        }
        let leftovers = self.runs.folder(&self.request.id).join("leftovers.patch");
        repository.check_out(&tips, &commit, crashed, &leftovers, events)?;
        self.changes_files = true;
        repository.remove_builds_from_the_future(events)?;
        self.note_recovery();
        if pipeline == Pipeline::Deploy {
            make_secret(paths, events)?;
        }
        let source = Source { commit: commit.clone(), branch };
        let result = match self.goal {
            Goal::Explain => self.explain(&source, events),
            _ => {
                // Prepared while mix is asked about the project, and during the first steps.
                let preload = hooks::prepare(paths, pipeline);
                self.run_pipeline(pipeline, &source, preload, events)
            }
        };
        if result.is_err() {
            // What comes now is not stopped.
            self.interrupt.take();
        }
        if let Err(error) = repository.revert_build_changes(&commit, events) {
            events.warn(format!("cannot revert the files that the build changed: {error:#}"));
        }
        result
    }

    fn history(&self) -> History<'_> {
        History::new(self.request, &self.runs)
    }

    /// The pipeline to run: the requested one, if the project's state allows it.
    fn decide(&self) -> Result<Pipeline> {
        let paths = &self.request.paths;
        match (self.goal, paths.is_deployment_complete()) {
            (Goal::Pipeline(Pipeline::Deploy), true) => bail!(
                "{0} is already deployed; the current release is {1}. To deploy the latest commit: gatling upgrade {0}",
                paths.name,
                paths.current_release().unwrap_or_default()
            ),
            (Goal::Pipeline(Pipeline::Upgrade) | Goal::Explain, false) if paths.is_deployed() => {
                bail!("the first deployment of {0} is not complete: run it again with `gatling deploy {0}`", paths.name)
            }
            (Goal::Pipeline(Pipeline::Upgrade) | Goal::Explain, false) => {
                bail!("{0} is not deployed yet; deploy it with `gatling deploy {0}`", paths.name)
            }
            (Goal::Pipeline(pipeline), _) => Ok(pipeline),
            (_, true) => Ok(Pipeline::Upgrade),
            (_, false) => Ok(Pipeline::Deploy),
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
        self.changes_files = true;
        let source = repository.checked_out().unwrap_or_default();
        let paths = &self.request.paths;
        let preload = hooks::prepare(paths, Pipeline::Unload);
        self.run_pipeline(Pipeline::Unload, &source, preload, events)
    }

    /// Gathers facts, within a time.
    fn gather(&self, gather: impl FnOnce(&ProjectPaths) -> Result<Gathered>) -> Result<Gathered> {
        let paths = &self.request.paths;
        // mix evaluates the project's config, which can take for ever.
        self.interrupt.limit(Some(ProjectSettings::DEFAULT_STEP_TIMEOUT));
        let gathered = gather(paths);
        self.interrupt.limit(None);
        self.interrupt.check()?;
        gathered.map_err(|error| explain(error, &paths.build_dir()))
    }

    fn explain(&self, source: &Source, events: &Events) -> Result<Done> {
        let gathered = self.gather(|paths| gather_hot(paths, source))?;
        let performer = Performer::new(events).with_facts(&gathered).with_interrupt(self.interrupt);
        self.interrupt.limit(Some(gathered.facts.settings.step_timeout()));
        explain::explain(&gathered.facts, performer)?;
        Ok(Done::Unchanged)
    }

    fn run_pipeline(
        &mut self,
        pipeline: Pipeline,
        source: &Source,
        preload: Option<Preload>,
        events: &Events,
    ) -> Result<Done> {
        let paths = &self.request.paths;
        let mut gathered = self.gather(|paths| gather(paths, pipeline, source, &self.request.rollback))?;
        if self.request.no_soak {
            gathered.facts.soak = Duration::ZERO;
        }
        Execution::load(&gathered, preload, &self.request.id, self.interrupt, events)?.run()?;
        if pipeline == Pipeline::Deploy {
            // If this fails, the next push only runs the first deployment once more.
            _ = fs::remove_file(paths.deploying_marker());
        }
        let facts = gathered.done();
        Ok(Done::Serving(match (pipeline, facts.domains.as_slice()) {
            (Pipeline::Unload, _) => Vec::new(),
            (Pipeline::Rollback, _) => serving::hosts(paths),
            (_, []) => vec![format!("port {}", facts.available_port)],
            (_, domains) => domains.to_vec(),
        }))
    }
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
        // These use the hooks in the build dir, not the pushed ones.
        Goal::Pipeline(Pipeline::Rollback | Pipeline::Unload) | Goal::Restart | Goal::Recover | Goal::Explain => return,
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
