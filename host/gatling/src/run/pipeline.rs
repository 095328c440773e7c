//! The steps of a task, one after the other, each wrapped in its hooks.

use std::mem;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use crate::env::Env;
use crate::hooks::{Call, Hooks, Preload};
use crate::plan::{Plan, PlannedStep};
use crate::task::{Hook, Phase};
use gatling_runs::{Event, Events};

/// A task under way.
pub struct Pipeline<'a> {
    env: &'a Env,
    plan: Plan,
    hooks: Hooks,
    events: &'a Events,
    run_id: &'a str,
    started_at: Timestamp,
}

impl<'a> Pipeline<'a> {
    /// Reads the hooks file and sees to it that all that will be needed is there.
    ///
    /// # Errors
    /// When the hooks file can't be used, a program is missing, or a folder can't be written to:
    /// whatever can be known before the first step.
    pub fn load(env: &'a Env, preload: Option<Preload>, run_id: &'a str, events: &'a Events) -> Result<Self> {
        events.emit(planned(env));
        for warning in &env.warnings {
            events.warn(warning.as_str());
        }
        let hooks = Hooks::load(preload, env, events)?;
        let plan = Plan::new(env, hooks.all());
        plan.check()?;
        check_programs(&plan)?;
        check_folders(env)?;
        plan.actions().try_for_each(|(_, action)| action.check_beforehand(events))?;
        Ok(Self { env, plan, hooks, events, run_id, started_at: Timestamp::now() })
    }

    /// Carries out the task.
    ///
    /// # Errors
    /// At the first step or hook that fails; nothing after it is run.
    pub fn run(&mut self) -> Result<()> {
        for step in mem::take(&mut self.plan.steps) {
            self.call(Phase::Before, &step)?;
            self.carry_out(&step)?;
            self.call(Phase::After, &step)?;
        }
        Ok(())
    }

    fn call(&mut self, phase: Phase, step: &PlannedStep) -> Result<()> {
        let hook = Hook { task: self.env.task, step: step.name, phase };
        if !self.hooks.has(hook) {
            return Ok(());
        }
        let call = Call {
            hook,
            run_id: self.run_id.to_owned(),
            attempt: 1,
            started_at: self.started_at,
            events: self.events.clone(),
        };
        let name = hook.name();
        self.events.emit(Event::HookBegun { hook: name.clone(), file: self.env.task.hooks_file() });
        let begun = Instant::now();
        let result = self.hooks.call(&call);
        let seconds = begun.elapsed().as_secs_f64();
        self.events.emit(Event::HookEnded { hook: name, ok: result.is_ok(), seconds });
        if self.hooks.have_acted() {
            self.env.mix.start_afresh();
        }
        result
    }

    fn carry_out(&mut self, step: &PlannedStep) -> Result<()> {
        self.events.emit(Event::StepBegun { step: step.name.to_owned() });
        let begun = Instant::now();
        let result = step.actions.iter().try_for_each(|action| action.execute(self.env, self.events));
        let (step, seconds) = (step.name.to_owned(), begun.elapsed().as_secs_f64());
        self.events.emit(Event::StepEnded { step: step.clone(), ok: result.is_ok(), seconds });
        result.with_context(|| format!("the step {step}"))
    }
}

fn planned(env: &Env) -> Event {
    Event::Planned {
        pipeline: env.task.name().to_owned(),
        version: env.version.clone(),
        release: env.release(),
        previous: env.previous_version.clone(),
        branch: env.branch.clone(),
        commit: env.commit.clone(),
        steps: env.task.steps().iter().map(|step| step.name.to_owned()).collect(),
    }
}

/// Whether every program that the steps will run is there.
fn check_programs(plan: &Plan) -> Result<()> {
    for (step, action) in plan.actions() {
        for command in action.commands() {
            // A path to a program may be what an earlier step makes.
            if let Some(program) = command.missing().filter(|program| !program.contains('/')) {
                let error = gatling_process::CommandError::NotFound { program: program.to_owned() };
                return Err(error).with_context(|| format!("the step {step} needs a program that is missing"));
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
