//! `gatling hooks build`.

use std::path::PathBuf;

use anyhow::Result;
use gatling_authoring::build::Project;
use gatling_config::roots::Roots;
use gatling_engine::hooks;
use gatling_text::{duration, escape};

use crate::cli::{print_json_line, say};

/// Build a project of hooks into the hooks file, with its language's own tools
///
/// Gatling detects the language from the files in the folder: Cargo.toml, package.json, hooks.py, hooks.c,
/// go.mod or hooks.zig. The world in wit/ is named after the pipeline.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of the project
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Where to write the component [default: PIPELINE.wasm in the root of the mix project around it,
    /// or in its own folder where there is none]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Compile it too, and keep the code, so that the first call of its hooks here does not have to
    #[arg(long)]
    precompile: bool,
    /// Print one JSON object (docs/journal.md describes it), and what the tools print on standard error
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let project = Project::open(&args.dir)?;
    let built = project.build(&mut |line| {
        if args.json {
            eprintln!("{}", escape(line));
        } else {
            // If nobody reads it, the last line fails.
            _ = say(&format!("{line}\n"));
        }
    })?;
    let file = args.out.clone().unwrap_or_else(|| project.destination(built.pipeline));
    built.write(&file)?;
    let compiled = match args.precompile {
        true => hooks::precompile(&file, built.pipeline, &Roots::from_environment()?)?,
        false => None,
    };
    if args.json {
        print_json_line(&serde_json::json!({
            "path": file,
            "size": built.component.len(),
            "language": project.language.name(),
            "task": built.pipeline,
            "hooks": built.hooks(),
            "compiled_milliseconds": compiled.map(|time| time.as_millis() as u64),
        }))?;
        return Ok(0);
    }
    say(&format!(
        "{}  {} KB, {}: {}\n",
        file.display(),
        built.component.len().div_ceil(1024),
        project.language.title(),
        built.hooks().join(", ")
    ))?;
    if args.precompile {
        let how = compiled.map_or("already compiled".to_owned(), |time| format!("compiled in {}", duration(time)));
        say(&format!("  {how}\n"))?;
    }
    Ok(0)
}
