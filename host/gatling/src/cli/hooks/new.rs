//! `gatling hooks new`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use gatling_authoring::{Language, new};
use gatling_pipeline::Pipeline;

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
    /// The hooks to begin with [default: before_mix_compile, or the first of its pipeline]
    #[arg(long, value_name = "HOOK,...", value_delimiter = ',')]
    hooks: Vec<String>,
    /// The pipeline whose steps they wrap: upgrade, deploy or unload
    #[arg(long, alias = "task", default_value = "upgrade")]
    pipeline: Pipeline,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let names = if args.hooks.is_empty() { vec![default_hook(args.pipeline)] } else { args.hooks.clone() };
    let hooks = new::hooks(args.pipeline, &names).map_err(|error| UsageError(error.to_string()))?;
    let files = new::create(&args.dir, args.lang, args.pipeline, &hooks)?;
    let mut text =
        format!("{}: hooks of {} in {}\n", args.dir.display(), args.pipeline.hooks_file(), args.lang.title());
    for file in files {
        writeln!(text, "  {}", file.display())?;
    }
    writeln!(text, "Build it: gatling hooks build {}", args.dir.display())?;
    say(&text)?;
    Ok(0)
}

/// The hook to begin with, where none is named: the usual one, or the pipeline's first.
fn default_hook(pipeline: Pipeline) -> String {
    let mut names = pipeline.hooks().into_iter().map(|hook| hook.name());
    let first = names.next().unwrap_or_default();
    names.find(|name| name == new::DEFAULT_HOOK).unwrap_or(first)
}

/// The names of all hooks, for the end of the help.
fn names() -> String {
    let mut text =
        "Hooks are named before_STEP and after_STEP; on_failure is called when a run of the pipeline fails. The steps:"
            .to_owned();
    for pipeline in Pipeline::ALL {
        let steps: Vec<_> = pipeline.steps().iter().map(|step| step.name.as_str()).collect();
        text += &format!("\n  {:<8} {}", pipeline.name(), steps.join(", "));
    }
    text
}
