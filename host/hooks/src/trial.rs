//! Calls a hook outside of any run, to see what it does.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};

use crate::call::Caller;
use crate::effects::Effects;
use crate::{Call, FailureRecord, Hook, HookInput, HookPoint, HooksFile, PlannedEffect, Sink};

/// A trial call of a hook, outside of any run.
pub struct Trial {
    /// The hooks file.
    pub file: HooksFile,
    /// The hook.
    pub hook: Hook,
    /// The input of the call.
    pub input: HookInput,
    /// The failure record, for `on_failure`.
    pub failure: FailureRecord,
    /// How many times to call the hook, each time in a new instance. Stops at the first call that fails.
    pub times: u32,
    /// Whether the effects that it asks for are only listed, not carried out.
    pub dry: bool,
}

/// The result of a trial.
pub struct TrialResult {
    /// What the hook returned.
    pub result: Result<()>,
    /// The time of each call, including the creation of its instance.
    pub calls: Vec<Duration>,
    /// The time to create each instance.
    pub instances: Vec<Duration>,
    /// The time until the hook could be called: to inspect the file, and to load or compile its code.
    pub ready: Duration,
    /// The time to compile the file; `None` if the compiled code was in the cache.
    pub compiled: Option<Duration>,
    /// The effects that it asked for, if they were only listed.
    pub planned: Vec<PlannedEffect>,
}

impl Trial {
    /// Calls the hook.
    ///
    /// # Errors
    /// When the file can't be used, or doesn't export the hook. An error of the hook itself is in
    /// [`TrialResult::result`].
    pub fn run(self, events: &Sink) -> Result<TrialResult> {
        let started = Instant::now();
        let (path, grants, limits) = (self.file.path.clone(), self.file.grants.clone(), self.file.limits);
        let preload = self.file.prepare();
        let summary = preload.summary()?;
        if let Some(problem) = summary.fatal {
            bail!("{problem}");
        }
        let Some(fallible) = summary.hooks.get(&self.hook.export()) else {
            let mut names: Vec<_> = summary.hooks.keys().map(|name| name.replace('-', "_")).collect();
            names.sort();
            let exported = if names.is_empty() { "no hooks".to_owned() } else { names.join(", ") };
            bail!("{} does not export {}; it exports {exported}", path.display(), self.hook.name());
        };
        let (linked, compiled) = preload.code.wait_timed(events)?;
        let effects = if self.dry { Effects::dry_run() } else { Effects::default() };
        let caller = Caller::new(linked, grants, limits, effects)?;
        let call = Call {
            failure: (self.hook.point == HookPoint::OnFailure).then_some(self.failure),
            stop: Arc::default(),
            hook: self.hook,
            run_id: "trial".to_owned(),
            attempt: 1,
            started_at: SystemTime::now(),
            events: events.clone(),
        };
        let ready = started.elapsed();
        let (mut calls, mut instances) = (Vec::new(), Vec::new());
        let mut result = Ok(());
        for _ in 0..self.times {
            let started = Instant::now();
            let mut instance = Duration::default();
            result = caller.call_timed(&call, &self.input, *fallible, &mut instance);
            calls.push(started.elapsed());
            instances.push(instance);
            if result.is_err() {
                break;
            }
        }
        Ok(TrialResult { result, calls, instances, ready, compiled, planned: caller.planned() })
    }
}
