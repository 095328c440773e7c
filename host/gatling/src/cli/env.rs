//! `gatling env`.

use anyhow::Result;
use gatling_config::paths::ProjectPaths;
use gatling_config::project::ProjectName;
use gatling_engine::facts::gather;
use gatling_engine::run::Rollback;
use gatling_engine::run::repository::Repository;
use gatling_engine::toolchain::explain;
use gatling_pipeline::{Facts, Pipeline};
use serde_json::Value;

use super::{loaded, print_json_line, say, take_environment_of_runs};

/// Show the env record that hooks would get now
///
/// The fields are those of the record `env` in the contract, with `_` for `-`. They describe the files
/// that are in the build dir now.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
    /// As one JSON object (docs/journal.md describes it)
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let facts = facts(&loaded(&args.project)?, None, &Rollback::default())?;
    if args.json {
        print_json_line(&facts)?;
        return Ok(0);
    }
    let Value::Object(fields) = serde_json::to_value(&facts)? else { unreachable!("facts are a record") };
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

/// The facts for a pipeline, by default the next one, based on the files that are in the build dir now.
pub(super) fn facts(paths: &ProjectPaths, pipeline: Option<Pipeline>, rollback: &Rollback) -> Result<Facts> {
    let next = if paths.is_deployment_complete() { Pipeline::Upgrade } else { Pipeline::Deploy };
    let repository = Repository::at(&paths.build_dir());
    take_environment_of_runs(paths)?;
    let gathered = gather(paths, pipeline.unwrap_or(next), &repository.checked_out()?, rollback);
    Ok(gathered.map_err(|error| explain(error, &paths.build_dir()))?.facts)
}
