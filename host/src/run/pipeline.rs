//! The steps of a task, one after the other, each wrapped in its hooks.

use std::mem;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use crate::env::Env;
use crate::hooks::{Call, Hooks, Preload};
use crate::run::checkout::short;
use crate::run::log::{self, RunLog};
use crate::run::record::StepRecord;
use crate::run::standby::Standby;
use crate::steps::{self, nginx};
use crate::task::{Hook, Phase, Step, Task};

/// A task under way.
pub struct Pipeline<'a> {
    env: &'a Env,
    hooks: Hooks,
    log: &'a RunLog,
    /// What waits for its turn.
    standby: Standby,
    run_id: &'a str,
    started_at: Timestamp,
    begun: Instant,
    steps: Vec<StepRecord>,
}

impl<'a> Pipeline<'a> {
    /// Reads the hooks file and sees to it that all that will be needed is there.
    ///
    /// # Errors
    /// When the hooks file can't be used, a program is missing, or a folder can't be written to:
    /// whatever can be known before the first step.
    pub fn load(
        env: &'a Env,
        preload: Option<Preload>,
        standby: Standby,
        run_id: &'a str,
        started_at: Timestamp,
        log: &'a RunLog,
    ) -> Result<Self> {
        log.line(&headline(env));
        for warning in &env.warnings {
            log.line(&format!("  warning: {warning}"));
        }
        let hooks = Hooks::load(preload, env, log)?;
        if let Some(file) = hooks.file() {
            log.line(&format!("  hooks: {file} with {}", hooks.names().join(", ")));
        }
        check_programs(env)?;
        check_folders(env)?;
        nginx::check_beforehand(env, log)?;
        Ok(Self { env, hooks, log, standby, run_id, started_at, begun: Instant::now(), steps: Vec::new() })
    }

    /// Carries out the task.
    ///
    /// # Errors
    /// At the first step or hook that fails; nothing after it is run.
    pub fn run(&mut self) -> Result<()> {
        for step in self.env.task.steps() {
            self.call(Phase::Before, step)?;
            self.carry_out(step)?;
            self.call(Phase::After, step)?;
        }
        self.log.line(&self.summary());
        Ok(())
    }

    /// What was carried out.
    #[must_use]
    pub fn into_steps(self) -> Vec<StepRecord> {
        self.steps
    }

    fn call(&mut self, phase: Phase, step: &Step) -> Result<()> {
        let hook = Hook { task: self.env.task, step: step.name, phase };
        if !self.hooks.has(hook) {
            return Ok(());
        }
        let call = Call {
            hook,
            run_id: self.run_id.to_owned(),
            attempt: 1,
            started_at: self.started_at,
            log: self.log.clone(),
        };
        let name = hook.name();
        let title = format!("{name}  ({})", self.env.task.hooks_file());
        self.timed(&name, true, &title, |this| this.hooks.call(&call))
    }

    fn carry_out(&mut self, step: &Step) -> Result<()> {
        // It is the first step's, or nobody's. A hook that did something before that may have
        // changed what mix had read by then: it is to be read anew.
        let mut standby = mem::take(&mut self.standby);
        if self.hooks.have_acted() {
            standby = Standby::default();
        }
        self.timed(step.name, false, step.name, |this| {
            let mut carry_out = || -> Result<()> {
                for action in (step.actions)(this.env)? {
                    match standby.take(&action) {
                        Some(started) => steps::finish(started, this.log)?,
                        None => action.execute(this.env, this.log)?,
                    }
                }
                Ok(())
            };
            carry_out().with_context(|| format!("the step {}", step.name))
        })
    }

    fn timed(&mut self, name: &str, hook: bool, title: &str, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        self.log.begin(title);
        let start = Instant::now();
        let result = work(self);
        let time = start.elapsed();
        self.steps.push(StepRecord::new(name, hook, time, result.is_ok()));
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        self.log.end(&format!("{word} {}", log::duration(time)));
        result
    }

    fn summary(&self) -> String {
        let hooks = self.steps.iter().filter(|step| step.hook).count();
        let counted = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let work = format!(
            "{}, {}, {}",
            counted(self.steps.len() - hooks, "step"),
            counted(hooks, "hook"),
            log::duration(Duration::from_secs_f64(self.begun.elapsed().as_secs_f64()))
        );
        let env = self.env;
        if env.task == Task::Unload {
            return format!("gatling: {} is unloaded; {work}\n  Its database was left alone.", env.project);
        }
        let place = match env.domains.as_slice() {
            [] => format!("port {}", env.available_port),
            domains => domains.join(", "),
        };
        format!("gatling: {} {} is serving at {place}; {work}", env.project, env.release())
    }
}

fn headline(env: &Env) -> String {
    let what = match (env.task, &env.previous_version) {
        (Task::Upgrade, Some(previous)) => format!("upgrade from {previous}"),
        (task, _) => task.name().to_owned(),
    };
    let source = if env.commit.is_empty() { String::new() } else { format!("  {} {}", env.branch, short(&env.commit)) };
    let version = if env.version.is_empty() { String::new() } else { format!(" {}", env.version) };
    format!("gatling: {}{version}{source}  {what}", env.project)
}

/// Whether every program that the steps will run is there. Steps whose actions can't be told yet
/// say so when their turn comes.
fn check_programs(env: &Env) -> Result<()> {
    for step in env.task.steps() {
        for action in (step.actions)(env).with_context(|| format!("the step {}", step.name))? {
            for command in action.commands() {
                // A path to a program may be what an earlier step makes.
                let missing = command.missing().filter(|program| !program.contains('/'));
                if let Some(program) = missing {
                    let error = crate::command::CommandError::NotFound { program: program.to_owned() };
                    return Err(error)
                        .with_context(|| format!("the step {} needs a program that is missing", step.name));
                }
            }
        }
    }
    Ok(())
}

fn check_folders(env: &Env) -> Result<()> {
    for folder in [&env.deploy_dir, &env.build_dir] {
        if folder.is_dir() && rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() {
            bail!(
                "the folder {0} cannot be written to: look at it with `ls -ld {0}` and `findmnt -T {0}`, and make it writable for \
                 the user who deploys",
                folder.display()
            );
        }
    }
    Ok(())
}
