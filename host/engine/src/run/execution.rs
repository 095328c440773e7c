//! The steps of a pipeline, one after the other, each wrapped in its hooks.

use std::mem;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, bail};

use gatling_hook_host::{Call, FailureRecord, Hook, HookPoint, Hooks, Name, Preload};
use gatling_pipeline::{Facts, Pipeline, Plan, PlannedStep};
use gatling_runs::{Event, Events, Serving};

use super::interrupt::{Interrupt, Reason};
use crate::facts::Gathered;
use crate::perform::Performer;
use crate::{hooks, serving};

/// A pipeline that is being carried out.
pub(super) struct Execution<'a> {
    facts: &'a Facts,
    performer: Performer<'a>,
    gathered: &'a Gathered,
    plan: Plan,
    hooks: Hooks,
    events: &'a Events,
    run_id: &'a str,
    interrupt: &'a Interrupt,
    started_at: SystemTime,
    /// The step and the hook that began last.
    under_way: Option<UnderWay>,
}

/// What a pipeline is doing: a step, or a hook around it.
struct UnderWay {
    step: Name,
    hook: Option<String>,
}

impl<'a> Execution<'a> {
    /// Reads the hooks file.
    ///
    /// # Errors
    /// When it can't be used.
    pub(super) fn load(
        gathered: &'a Gathered,
        preload: Option<Preload>,
        run_id: &'a str,
        interrupt: &'a Interrupt,
        events: &'a Events,
    ) -> Result<Self> {
        let facts = &gathered.facts;
        events.emit(planned(facts));
        for warning in &facts.warnings {
            events.warn(warning.as_str());
        }
        let hooks = hooks::load(preload, facts, events)?;
        let plan = Plan::new(facts, hooks.all());
        let performer = Performer::new(events).with_facts(gathered).with_interrupt(interrupt);
        let started_at = SystemTime::now();
        Ok(Self { facts, performer, gathered, plan, hooks, events, run_id, interrupt, started_at, under_way: None })
    }

    /// Carries out the pipeline. If it fails, calls the hook `on_failure`.
    ///
    /// # Errors
    /// At the first step or hook that fails; nothing after it runs. Before the first step, if a program is missing or a
    /// folder is not writable: problems that can be found by then.
    pub(super) fn run(&mut self) -> Result<()> {
        let result = self.check().and_then(|()| self.carry_out_steps());
        if result.is_err() {
            self.interrupt.take();
        }
        if let Err(error) = &result {
            self.report_failure(error);
        }
        result
    }

    fn check(&self) -> Result<()> {
        self.plan.check()?;
        check_programs(&self.plan)?;
        check_folders(self.facts)?;
        self.note_strategy();
        self.plan.actions().try_for_each(|(_, action)| self.performer.check_beforehand(action))
    }

    /// Says so if the app must be stopped although nobody asked for it.
    fn note_strategy(&self) {
        let Facts { settings, strategy, strategy_reason, .. } = self.facts;
        if switches(self.facts.pipeline) && settings.strategy.is_none() && *strategy == "restart" {
            self.events.note(format!("the app does not answer while it is restarted: {strategy_reason}"));
        }
    }

    fn carry_out_steps(&mut self) -> Result<()> {
        for step in mem::take(&mut self.plan.steps) {
            self.call_around(HookPoint::Before(step.name.clone()), &step)?;
            self.carry_out(&step)?;
            self.call_around(HookPoint::After(step.name.clone()), &step)?;
        }
        Ok(())
    }

    fn call_around(&mut self, point: HookPoint, step: &PlannedStep) -> Result<()> {
        let hook = Hook { pipeline: self.facts.pipeline.name(), point };
        if !self.hooks.has(&hook) {
            return Ok(());
        }
        self.under_way = Some(UnderWay { step: step.name.clone(), hook: Some(hook.name()) });
        self.call(hook, None)
    }

    /// Calls the hook `on_failure`, if there is one. If it fails too, this is only a warning.
    fn report_failure(&self, error: &anyhow::Error) {
        let hook = Hook { pipeline: self.facts.pipeline.name(), point: HookPoint::OnFailure };
        if !self.hooks.has(&hook) {
            return;
        }
        let failure = FailureRecord {
            step: self.under_way.as_ref().map(|under_way| under_way.step.to_string()),
            hook: self.under_way.as_ref().and_then(|under_way| under_way.hook.clone()),
            message: format!("{error:#}"),
            cancelled: matches!(self.interrupt.take(), Some(Reason::Cancelled { .. })),
            traffic_moved: has_traffic_moved(&self.gathered.done()),
            serving: match serving::look(&self.facts.paths) {
                Serving::Serving { release } => Some(release),
                _ => None,
            },
        };
        if let Err(error) = self.call(hook, Some(failure)) {
            self.events.warn(format!("{error:#}"));
        }
    }

    fn call(&self, hook: Hook, failure: Option<FailureRecord>) -> Result<()> {
        let is_on_failure = failure.is_some();
        let call = Call {
            hook: hook.clone(),
            run_id: self.run_id.to_owned(),
            attempt: 1,
            started_at: self.started_at,
            events: hooks::sink(self.events),
            failure: failure.map(|failure| hooks::without_secrets(failure, self.facts)),
            stop: self.interrupt.flag(),
        };
        let name = hook.name();
        self.events.emit(Event::HookBegun { hook: name.clone(), file: self.facts.pipeline.hooks_file() });
        let begun = Instant::now();
        let result = self.hooks.call(&call).map_err(hooks::with_remedy);
        let seconds = begun.elapsed().as_secs_f64();
        self.events.emit(Event::HookEnded { hook: name, ok: result.is_ok(), seconds });
        let result = result.map_err(|error| if is_on_failure { error } else { self.reason_or(error) });
        if self.hooks.have_acted() {
            self.gathered.mix.start_afresh();
        }
        result
    }

    /// Why the run must end early, or this error: whatever is stopped fails, which says less than the reason.
    fn reason_or(&self, error: anyhow::Error) -> anyhow::Error {
        let is_stopped = self.interrupt.check().is_err();
        self.interrupt.take().filter(|_| is_stopped).map_or(error, anyhow::Error::from)
    }

    fn carry_out(&mut self, step: &PlannedStep) -> Result<()> {
        self.under_way = Some(UnderWay { step: step.name.clone(), hook: None });
        self.events.emit(Event::StepBegun { step: step.name.to_string() });
        let begun = Instant::now();
        self.interrupt.limit(Some(self.facts.settings.step_timeout()));
        let result = step.actions.iter().try_for_each(|action| self.performer.perform(action));
        self.interrupt.limit(None);
        let result = result.map_err(|error| self.reason_or(error));
        let (step, seconds) = (step.name.to_string(), begun.elapsed().as_secs_f64());
        self.events.emit(Event::StepEnded { step: step.clone(), ok: result.is_ok(), seconds });
        if self.gathered.has_fallen_back.get() {
            self.hooks.set_env(hooks::env_record(&self.gathered.done()));
        }
        result.with_context(|| format!("the step {step}"))
    }
}

/// Whether the pipeline switches from one release to another.
fn switches(pipeline: Pipeline) -> bool {
    matches!(pipeline, Pipeline::Upgrade | Pipeline::Rollback)
}

/// Whether the new release has replaced the old one: it is the current release now.
fn has_traffic_moved(facts: &Facts) -> bool {
    facts.paths.is_deployed() && facts.paths.current_release() == Some(facts.release())
}

fn planned(facts: &Facts) -> Event {
    let switches = switches(facts.pipeline);
    // A rollback deploys no commit.
    let source = |text: &str| if facts.pipeline == Pipeline::Rollback { String::new() } else { text.to_owned() };
    Event::Planned {
        pipeline: facts.pipeline.name().to_string(),
        version: facts.version.clone(),
        release: facts.release(),
        previous: facts.previous_version.clone(),
        branch: source(&facts.branch),
        commit: source(&facts.commit),
        steps: facts.pipeline.steps().iter().map(|step| step.name.to_string()).collect(),
        strategy: switches.then(|| facts.strategy.to_owned()),
        strategy_reason: switches.then(|| facts.strategy_reason.clone()),
    }
}

/// Fails if a program that the steps run is missing.
fn check_programs(plan: &Plan) -> Result<()> {
    for (step, action) in plan.actions() {
        for command in action.commands() {
            // A program with a path may be created by an earlier step.
            if let Some(program) = command.missing().filter(|program| !program.contains('/')) {
                let error = gatling_process::CommandError::NotFound { program: program.to_owned() };
                return Err(error).with_context(|| format!("a program that the step {step} needs is missing"));
            }
        }
    }
    Ok(())
}

fn check_folders(facts: &Facts) -> Result<()> {
    for folder in [&facts.deploy_dir, &facts.build_dir] {
        if folder.is_dir() && rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() {
            bail!(
                "the folder {0} is not writable: check it with `ls -ld {0}` and `findmnt -T {0}`, and make it writable for the user \
                 who deploys",
                folder.display()
            );
        }
    }
    Ok(())
}
