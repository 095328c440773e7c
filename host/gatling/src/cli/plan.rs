//! `gatling plan`.

use anyhow::Result;
use gatling::hooks;
use gatling::steps::Action;
use gatling::task::{Hook, Phase, Task};
use gatling_config::project::ProjectName;
use serde::Serialize;

use super::env::build;
use super::{loaded, print_json, say};

/// Show what a task would do, without doing it
///
/// Lists each step with the exact commands that it would run and the hooks that would be called,
/// for the files as they are in the build dir. mix is asked for the project's version and tasks;
/// nothing else is run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// deploy, upgrade or unload [default: what the next push would do]
    task: Option<Task>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Plan {
    project: String,
    version: String,
    task: Task,
    steps: Vec<PlannedStep>,
}

#[derive(Serialize)]
struct PlannedStep {
    name: &'static str,
    does: &'static str,
    before: Option<String>,
    actions: Vec<PlannedAction>,
    after: Option<String>,
    /// Why it can't be told what the step would do, where that is so.
    problem: Option<String>,
}

#[derive(Serialize)]
struct PlannedAction {
    text: String,
    #[serde(flatten)]
    action: Action,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let env = build(&loaded(&args.project)?, args.task)?;
    let exported = hooks::exported(&env)?;
    let hook = |step, phase| {
        let hook = Hook { task: env.task, step, phase };
        exported.contains(&hook).then(|| hook.name())
    };
    let steps = env.task.steps().iter().map(|step| {
        let (actions, problem) = match (step.actions)(&env) {
            Ok(actions) => (actions, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        PlannedStep {
            name: step.name,
            does: step.does,
            before: hook(step.name, Phase::Before),
            actions: actions.into_iter().map(|action| PlannedAction { text: action.to_string(), action }).collect(),
            after: hook(step.name, Phase::After),
            problem,
        }
    });
    let plan =
        Plan { project: env.project.clone(), version: env.version.clone(), task: env.task, steps: steps.collect() };
    if args.json {
        print_json(&plan)?;
    } else {
        say(&text(&plan))?;
    }
    Ok(if plan.steps.iter().any(|step| step.problem.is_some()) { super::FAILED } else { 0 })
}

fn text(plan: &Plan) -> String {
    let file = plan.task.hooks_file();
    let mut text = format!("{} of {} {} would do this:\n", plan.task, plan.project, plan.version);
    for step in &plan.steps {
        let hook = |name: &Option<String>| name.iter().map(|name| format!("{name}  ({file})\n")).collect::<String>();
        text += &hook(&step.before);
        text += &format!("{:<24} {}\n", step.name, step.does);
        for line in step.actions.iter().flat_map(|action| action.text.lines()) {
            text += &format!("    {line}\n");
        }
        text += &step.problem.iter().map(|problem| format!("    PROBLEM: {problem}\n")).collect::<String>();
        text += &hook(&step.after);
    }
    text
}
