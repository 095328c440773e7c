//! `gatling env`.

use anyhow::Result;
use gatling::run::checkout::Repository;
use gatling::task::Task;
use gatling::toolchain::explain;
use gatling_config::project::ProjectName;
use gatling_config::roots::ProjectPaths;
use serde_json::Value;

use super::{loaded, print_json, say, take_environment_of_runs};

/// Show the env that hooks would get now
///
/// The fields are those of the record `env` in the contract, with `_` for `-`. It describes the
/// files as they are in the build dir.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let env = build(&loaded(&args.project)?, None)?;
    if args.json {
        print_json(&env)?;
        return Ok(0);
    }
    let Value::Object(fields) = serde_json::to_value(&env)? else { unreachable!("the env is a record") };
    for (name, value) in &fields {
        let text = match value {
            Value::Null => "-".to_owned(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            Value::String(text) if text.contains('\n') => format!("({} lines)", text.lines().count()),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        say(&format!("{name:<24} {text}\n"))?;
    }
    Ok(0)
}

/// The env for a task, or for the one that comes next, of the files as they are.
pub(super) fn build(paths: &ProjectPaths, task: Option<Task>) -> Result<gatling::env::Env> {
    let task = task.unwrap_or(if paths.is_deployed() { Task::Upgrade } else { Task::Deploy });
    let repository = Repository::at(&paths.build_dir());
    take_environment_of_runs(paths)?;
    gatling::env::Env::build(paths, task, &repository.checked_out()?)
        .map_err(|error| explain(error, &paths.build_dir()))
}
