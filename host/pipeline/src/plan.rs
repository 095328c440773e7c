//! What a pipeline would do, as a value: computed from facts, shown by `gatling plan`, carried out by a run.

use std::fmt;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use crate::action::Action;
use crate::facts::Facts;
use crate::pipeline::Pipeline;
use gatling_names::{Hook, HookPoint, Name};

/// What a pipeline would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The project.
    pub project: String,
    /// The version that would be deployed.
    pub version: String,
    /// The pipeline.
    #[serde(rename = "task")]
    pub pipeline: Pipeline,
    /// Its steps, in order.
    pub steps: Vec<PlannedStep>,
    /// The hook that is called if the run fails.
    pub on_failure: Option<String>,
}

/// What a step would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedStep {
    /// Its name.
    pub name: Name,
    /// What it is for.
    pub does: &'static str,
    /// The hook that is called before it.
    pub before: Option<String>,
    /// What it would do, in order.
    #[serde(serialize_with = "with_texts")]
    pub actions: Vec<Action>,
    /// The hook that is called after it.
    pub after: Option<String>,
    /// Why the step cannot be carried out, if that is already known.
    pub problem: Option<String>,
}

impl Plan {
    /// The plan for these facts, with calls to these hooks. It depends on nothing else.
    #[must_use]
    pub fn new(facts: &Facts, hooks: &[Hook]) -> Self {
        let hook = |point| {
            let hook = Hook { pipeline: facts.pipeline.name(), point };
            hooks.contains(&hook).then(|| hook.name())
        };
        let steps = facts.pipeline.steps().iter().map(|step| {
            let (actions, problem) = match (step.actions)(facts) {
                Ok(actions) => (actions, None),
                Err(error) => (Vec::new(), Some(format!("{error:#}"))),
            };
            PlannedStep {
                name: step.name.clone(),
                does: step.does,
                before: hook(HookPoint::Before(step.name.clone())),
                actions,
                after: hook(HookPoint::After(step.name.clone())),
                problem,
            }
        });
        Self {
            project: facts.project.clone(),
            version: facts.version.clone(),
            pipeline: facts.pipeline,
            steps: steps.collect(),
            on_failure: hook(HookPoint::OnFailure),
        }
    }

    /// Checks that every step can be carried out.
    ///
    /// # Errors
    /// If a step cannot be carried out: the error says why the first such step cannot.
    pub fn check(&self) -> Result<()> {
        match self.steps.iter().find_map(|step| Some((&step.name, step.problem.as_ref()?))) {
            Some((name, problem)) => Err(anyhow!("{problem}")).with_context(|| format!("the step {name}")),
            None => Ok(()),
        }
    }

    /// All actions of the steps, each with the step's name.
    pub fn actions(&self) -> impl Iterator<Item = (&Name, &Action)> {
        self.steps.iter().flat_map(|step| step.actions.iter().map(|action| (&step.name, action)))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {} {} would do this:", self.pipeline, self.project, self.version)?;
        let file = self.pipeline.hooks_file();
        for step in &self.steps {
            if let Some(hook) = &step.before {
                writeln!(f, "{hook}  ({file})")?;
            }
            writeln!(f, "{:<24} {}", step.name, step.does)?;
            for action in &step.actions {
                for line in action.to_string().lines() {
                    writeln!(f, "    {line}")?;
                }
            }
            if let Some(problem) = &step.problem {
                writeln!(f, "    PROBLEM: {problem}")?;
            }
            if let Some(hook) = &step.after {
                writeln!(f, "{hook}  ({file})")?;
            }
        }
        if let Some(hook) = &self.on_failure {
            writeln!(f, "if it fails: {hook}  ({file})")?;
        }
        Ok(())
    }
}

/// Each action with its text.
fn with_texts<S: serde::Serializer>(actions: &[Action], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct WithText<'a> {
        text: String,
        #[serde(flatten)]
        action: &'a Action,
    }
    serializer.collect_seq(actions.iter().map(|action| WithText { text: action.to_string(), action }))
}
