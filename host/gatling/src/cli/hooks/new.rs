//! `gatling hooks new`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use gatling::authoring::{Language, new};
use gatling::task::Task;

use crate::cli::{UsageError, say};

/// Start a project of hooks: a folder with all that `gatling hooks build` needs
///
/// Nothing is overwritten: the folder has to be empty, if it is there at all.
#[derive(Debug, clap::Args)]
#[command(after_help = names())]
pub(super) struct Args {
    /// The folder of the new project
    dir: PathBuf,
    /// The language: rust, js, python, c, go or zig
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
    /// The hooks to begin with [default: before_mix_compile, or the first of its task]
    #[arg(long, value_name = "HOOK,...", value_delimiter = ',')]
    hooks: Vec<String>,
    /// The task whose steps they wrap: upgrade, deploy or unload
    #[arg(long, default_value = "upgrade")]
    task: Task,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let names = if args.hooks.is_empty() { vec![default_hook(args.task)] } else { args.hooks.clone() };
    let hooks = new::hooks(args.task, &names).map_err(|error| UsageError(error.to_string()))?;
    let files = new::create(&args.dir, args.lang, args.task, &hooks)?;
    let mut text = format!("{}: hooks of {} in {}\n", args.dir.display(), args.task.hooks_file(), args.lang.title());
    for file in files {
        writeln!(text, "  {}", file.display())?;
    }
    writeln!(text, "Build it: gatling hooks build {}", args.dir.display())?;
    say(&text)?;
    Ok(0)
}

/// The hook to begin with, where none is named: the usual one, or the task's first.
fn default_hook(task: Task) -> String {
    let mut names = task.hooks().map(|hook| hook.name());
    let first = names.next().unwrap_or_default();
    names.find(|name| name == new::DEFAULT_HOOK).unwrap_or(first)
}

/// The names of all hooks, for the end of the help.
fn names() -> String {
    let mut text =
        "Hooks are named before_STEP and after_STEP; on_failure is called when a run of the task fails. The steps:"
            .to_owned();
    for task in Task::ALL {
        let steps: Vec<_> = task.steps().iter().map(|step| step.name).collect();
        text += &format!("\n  {:<8} {}", task.name(), steps.join(", "));
    }
    text
}
