//! The steps of a task, one after the other, each wrapped in its hooks.

use std::mem;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use crate::env::Env;
use crate::hooks::{Call, FailureRecord, Hooks, Preload};
use crate::plan::{Plan, PlannedStep};
use crate::serving;
use crate::task::{Hook, HookPoint};
use gatling_runs::{Event, Events, Serving};

/// A task under way.
pub struct Pipeline<'a> {
    env: &'a Env,
    plan: Plan,
    hooks: Hooks,
    events: &'a Events,
    run_id: &'a str,
    started_at: Timestamp,
    /// The step and the hook that were begun last.
    under_way: Option<UnderWay>,
}

/// What a pipeline is doing: a step, or a hook around it.
struct UnderWay {
    step: &'static str,
    hook: Option<String>,
}

impl<'a> Pipeline<'a> {
    /// Reads the hooks file.
    ///
    /// # Errors
    /// When it can't be used.
    pub fn load(env: &'a Env, preload: Option<Preload>, run_id: &'a str, events: &'a Events) -> Result<Self> {
        events.emit(planned(env));
        for warning in &env.warnings {
            events.warn(warning.as_str());
        }
        let hooks = Hooks::load(preload, env, events)?;
        let plan = Plan::new(env, hooks.all());
        Ok(Self { env, plan, hooks, events, run_id, started_at: Timestamp::now(), under_way: None })
    }

    /// Carries out the task. If it fails, calls the hook for that.
    ///
    /// # Errors
    /// At the first step or hook that fails; nothing after it is run. Before the first step when a program
    /// is missing, or a folder can't be written to: whatever can be known by then.
    pub fn run(&mut self) -> Result<()> {
        let result = self.check().and_then(|()| self.carry_out_steps());
        if let Err(error) = &result {
            self.report_failure(error);
        }
        result
    }

    fn check(&self) -> Result<()> {
        self.plan.check()?;
        check_programs(&self.plan)?;
        check_folders(self.env)?;
        self.plan.actions().try_for_each(|(_, action)| action.check_beforehand(self.events))
    }

    fn carry_out_steps(&mut self) -> Result<()> {
        for step in mem::take(&mut self.plan.steps) {
            self.call_around(HookPoint::Before(step.name), &step)?;
            self.carry_out(&step)?;
            self.call_around(HookPoint::After(step.name), &step)?;
        }
        Ok(())
    }

    fn call_around(&mut self, point: HookPoint, step: &PlannedStep) -> Result<()> {
        let hook = Hook { task: self.env.task, point };
        if !self.hooks.has(hook) {
            return Ok(());
        }
        self.under_way = Some(UnderWay { step: step.name, hook: Some(hook.name()) });
        self.call(hook, None)
    }

    /// Calls the hook for a failure, if there is one. Its own failure changes nothing: the run has failed.
    fn report_failure(&self, error: &anyhow::Error) {
        let hook = Hook { task: self.env.task, point: HookPoint::OnFailure };
        if !self.hooks.has(hook) {
            return;
        }
        let failure = FailureRecord {
            step: self.under_way.as_ref().map(|under_way| under_way.step.to_owned()),
            hook: self.under_way.as_ref().and_then(|under_way| under_way.hook.clone()),
            message: format!("{error:#}"),
            // No run can be cancelled yet.
            cancelled: false,
            traffic_moved: has_traffic_moved(self.env),
            serving: match serving::look(&self.env.paths) {
                Serving::Serving { release } => Some(release),
                _ => None,
            },
        };
        if let Err(error) = self.call(hook, Some(failure)) {
            self.events.warn(format!("{error:#}"));
        }
    }

    fn call(&self, hook: Hook, failure: Option<FailureRecord>) -> Result<()> {
        let call = Call {
            hook,
            run_id: self.run_id.to_owned(),
            attempt: 1,
            started_at: self.started_at,
            events: self.events.clone(),
            failure,
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
        self.under_way = Some(UnderWay { step: step.name, hook: None });
        self.events.emit(Event::StepBegun { step: step.name.to_owned() });
        let begun = Instant::now();
        let result = step.actions.iter().try_for_each(|action| action.execute(self.env, self.events));
        let (step, seconds) = (step.name.to_owned(), begun.elapsed().as_secs_f64());
        self.events.emit(Event::StepEnded { step: step.clone(), ok: result.is_ok(), seconds });
        result.with_context(|| format!("the step {step}"))
    }
}

/// Whether the new release was switched in: it is the current one, and no release that was current when the
/// env was built has its name. A first release is current before it is started; that it was brought to life
/// is noted elsewhere.
fn has_traffic_moved(env: &Env) -> bool {
    env.paths.is_deployed() && env.paths.current_release() == Some(env.release())
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
