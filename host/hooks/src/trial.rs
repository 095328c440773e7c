//! Calling a hook outside any run, to see what it does.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};

use crate::call::Caller;
use crate::effects::Effects;
use crate::{Call, FailureRecord, Hook, HookInput, HookPoint, HooksFile, PlannedEffect, Sink};

/// A hook that is tried, outside any run.
pub struct Trial {
    /// The hooks file.
    pub file: HooksFile,
    /// The hook.
    pub hook: Hook,
    /// What it is called with.
    pub input: HookInput,
    /// The failure that it is called for, if it is the hook for one.
    pub failure: FailureRecord,
    /// How often it is called, with a new instance each time; the first call that fails is the last.
    pub times: u32,
    /// Whether what it asks for is only listed.
    pub dry: bool,
}

/// How a trial went.
pub struct TrialResult {
    /// What the hook returned.
    pub result: Result<()>,
    /// How long each call took, the making of its instance included.
    pub calls: Vec<Duration>,
    /// How long it took to make each instance.
    pub instances: Vec<Duration>,
    /// How long it took until the hook could be called: to look at the file, and to load or
    /// compile its code.
    pub ready: Duration,
    /// How long it took to compile it; none where that had been done before.
    pub compiled: Option<Duration>,
    /// What it asked for, where that was only listed.
    pub planned: Vec<PlannedEffect>,
}

impl Trial {
    /// Calls the hook.
    ///
    /// # Errors
    /// When the file can't be used, or doesn't export the hook. What the hook itself returns is
    /// in the result.
    pub fn run(self, events: &Sink) -> Result<TrialResult> {
        let begun = Instant::now();
        let (path, grants, limits) = (self.file.path.clone(), self.file.grants.clone(), self.file.limits);
        let preload = self.file.prepare();
        let looked = preload.looked()?;
        if let Some(problem) = looked.fatal {
            bail!("{problem}");
        }
        let Some(fallible) = looked.hooks.get(&self.hook.export()) else {
            let mut names: Vec<_> = looked.hooks.keys().map(|name| name.replace('-', "_")).collect();
            names.sort();
            let there = if names.is_empty() { "no hooks".to_owned() } else { names.join(", ") };
            bail!("{} does not export {}; it exports {there}", path.display(), self.hook.name());
        };
        let (linked, compiled) = preload.code.wait_timed(events)?;
        let effects = if self.dry { Effects::listed() } else { Effects::default() };
        let caller = Caller::new(linked, grants, limits, effects)?;
        let call = Call {
            failure: (self.hook.point == HookPoint::OnFailure).then_some(self.failure),
            hook: self.hook,
            run_id: "trial".to_owned(),
            attempt: 1,
            started_at: SystemTime::now(),
            events: events.clone(),
        };
        let ready = begun.elapsed();
        let (mut calls, mut instances) = (Vec::new(), Vec::new());
        let mut result = Ok(());
        for _ in 0..self.times {
            let begun = Instant::now();
            let mut instance = Duration::default();
            result = caller.call_timed(&call, &self.input, *fallible, &mut instance);
            calls.push(begun.elapsed());
            instances.push(instance);
            if result.is_err() {
                break;
            }
        }
        Ok(TrialResult { result, calls, instances, ready, compiled, planned: caller.planned() })
    }
}
