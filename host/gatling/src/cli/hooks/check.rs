//! `gatling hooks check`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};
use gatling_config::roots::Roots;
use gatling_config::settings::{OperatorSettings, ProjectSettings};
use gatling_engine::hooks;
use gatling_grants::{Grants, ListedGrant};
use gatling_hook_host::inspect::{Inspection, Status};
use gatling_hook_host::{digest, read};
use gatling_pipeline::Pipeline;
use gatling_text::duration;
use serde::Serialize;

use crate::cli::{FAILED, UsageError, print_json_line, say};

/// List the hooks that hooks files export, and what is wrong with them
///
/// Shows as well what each can ask for, and what of it the gatling.toml in its folder grants.
/// Nothing is compiled or run. Exits with 0 when all is well, and with 1 when there are problems.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The hooks files [default: those of all pipelines in this folder]
    files: Vec<PathBuf>,
    /// Compile them too, and keep the code, so that the first deployment with them need not
    #[arg(long)]
    precompile: bool,
    /// One JSON object a line for each file (docs/journal.md describes it)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    path: PathBuf,
    sha256: Option<String>,
    size: Option<usize>,
    #[serde(flatten)]
    inspection: Inspection,
    can_ask_for: Vec<ListedGrant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compiled: Option<Compiled>,
}

/// What came of compiling a file.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Compiled {
    /// It was done before, or there is nothing to compile.
    Already,
    /// It took so long.
    Milliseconds(u64),
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let files = if args.files.is_empty() { default_files()? } else { args.files.clone() };
    let reports: Vec<_> = files.iter().map(|file| check(file, args.precompile)).collect();
    if args.json {
        reports.iter().try_for_each(print_json_line)?;
    } else {
        for report in &reports {
            say(&text(report))?;
        }
    }
    Ok(if reports.iter().all(|report| report.inspection.problems.is_empty()) { 0 } else { FAILED })
}

fn default_files() -> Result<Vec<PathBuf>> {
    let files: Vec<_> = Pipeline::ALL
        .iter()
        .map(|pipeline| PathBuf::from(pipeline.hooks_file()))
        .filter(|file| file.exists())
        .collect();
    if files.is_empty() {
        let names: Vec<_> = Pipeline::ALL.iter().map(|pipeline| pipeline.hooks_file()).collect();
        return Err(
            UsageError(format!("none of {} is in this folder: name the files to check", names.join(", "))).into()
        );
    }
    Ok(files)
}

fn check(file: &Path, precompile: bool) -> Report {
    let mut report = Report {
        path: file.to_owned(),
        sha256: None,
        size: None,
        inspection: Inspection::default(),
        can_ask_for: Vec::new(),
        compiled: None,
    };
    if let Err(error) = look(file, &mut report) {
        report.inspection.problems.push(format!("{error:#}"));
    }
    if precompile && report.inspection.problems.is_empty() {
        match Roots::from_environment().and_then(|roots| hooks::precompile(file, pipeline_of(file), &roots)) {
            Ok(None) => report.compiled = Some(Compiled::Already),
            Ok(Some(time)) => report.compiled = Some(Compiled::Milliseconds(time.as_millis() as u64)),
            Err(error) => report.inspection.problems.push(format!("it does not compile: {error:#}")),
        }
    }
    report
}

fn look(file: &Path, report: &mut Report) -> Result<()> {
    let bytes = read(file)?;
    report.sha256 = Some(digest(&bytes));
    report.size = Some(bytes.len());
    report.inspection = Inspection::of(&bytes, &pipeline_of(file).name(), &Pipeline::all_hooks())
        .map_err(|problem| anyhow!(problem))?;
    let uses = report.inspection.uses();
    report.can_ask_for = grants(file)?.listed().into_iter().filter(|grant| uses.contains(&grant.key)).collect();
    Ok(())
}

/// The grants of the project that the file lies in.
fn grants(file: &Path) -> Result<Grants> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let settings = ProjectSettings::read(folder)?;
    let roots = Roots::from_environment()?;
    let operator = OperatorSettings::read(&roots.config)?;
    Ok(Grants::of(&settings.hooks.grants, &operator.hooks.grants, &roots.config))
}

/// The pipeline that a file is named after; a file with another name is one for upgrades.
pub(super) fn pipeline_of(file: &Path) -> Pipeline {
    file.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).unwrap_or(Pipeline::Upgrade)
}

fn text(report: &Report) -> String {
    let inspection = &report.inspection;
    let size = report.size.map(|size| format!("  {} KB", size.div_ceil(1024))).unwrap_or_default();
    let contract = inspection.contract.iter().map(|version| format!("  gatling:hooks@{version}")).collect::<String>();
    let mut text = format!("{}{size}{contract}\n", report.path.display());
    for hook in &inspection.hooks {
        let place = hook.place.as_deref().unwrap_or("not a hook");
        let note = if hook.status == Status::Ok && !hook.message.is_empty() {
            format!("  ({})", hook.message)
        } else {
            String::new()
        };
        text += &format!("  {:<11} {:<32} {place}{note}\n", hook.status.name(), hook.name);
    }
    if inspection.hooks.is_empty() && inspection.problems.is_empty() {
        text += "  exports no hooks, so Gatling calls nothing in it\n";
    }
    for grant in &report.can_ask_for {
        let granted = list(&grant.granted);
        let cap = grant.cap.as_ref().map(|cap| format!("; the operator allows {}", list(cap))).unwrap_or_default();
        text += &format!("  can ask for {:<6} granted: {granted}{cap}\n", grant.key);
    }
    match report.compiled {
        Some(Compiled::Already) => text += "  already compiled\n",
        Some(Compiled::Milliseconds(time)) => {
            text += &format!("  compiled in {}\n", duration(Duration::from_millis(time)));
        }
        None => {}
    }
    for problem in &inspection.problems {
        text += &format!("  problem: {problem}\n");
    }
    text
}

fn list(grants: &[String]) -> String {
    if grants.is_empty() { "nothing".to_owned() } else { grants.join(", ") }
}
