//! `gatling hooks check`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use gatling::hooks::inspect::{Inspection, Status};
use gatling::hooks::{digest, read};
use gatling::task::Task;
use serde::Serialize;

use crate::cli::{FAILED, Misuse, print, print_json};

/// List the hooks that hooks files export, and what is wrong with them
///
/// Nothing is compiled or run. Exits with 0 when all is well, and with 1 when there are problems.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The hooks files [default: deploy.wasm, upgrade.wasm and unload.wasm in this folder]
    files: Vec<PathBuf>,
    /// One JSON object a file, in an array
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
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let files = if args.files.is_empty() { default_files()? } else { args.files.clone() };
    let reports: Vec<_> = files.iter().map(|file| check(file)).collect();
    if args.json {
        print_json(&reports)?;
    } else {
        for report in &reports {
            print(&text(report))?;
        }
    }
    Ok(if reports.iter().all(|report| report.inspection.problems.is_empty()) { 0 } else { FAILED })
}

fn default_files() -> Result<Vec<PathBuf>> {
    let files: Vec<_> =
        Task::ALL.iter().map(|task| PathBuf::from(task.hooks_file())).filter(|file| file.exists()).collect();
    if files.is_empty() {
        let names: Vec<_> = Task::ALL.iter().map(|task| task.hooks_file()).collect();
        return Err(Misuse(format!("none of {} is in this folder: name the files to check", names.join(", "))).into());
    }
    Ok(files)
}

fn check(file: &Path) -> Report {
    let mut report = Report { path: file.to_owned(), sha256: None, size: None, inspection: Inspection::default() };
    match read(file) {
        Ok(bytes) => {
            report.sha256 = Some(digest(&bytes));
            report.size = Some(bytes.len());
            match Inspection::of(&bytes, task_of(file)) {
                Ok(inspection) => report.inspection = inspection,
                Err(problem) => report.inspection.problems.push(problem),
            }
        }
        Err(error) => report.inspection.problems.push(format!("{error:#}")),
    }
    report
}

/// The task that a file's name says it is for; a file with another name is one for upgrades.
fn task_of(file: &Path) -> Task {
    file.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).unwrap_or(Task::Upgrade)
}

fn text(report: &Report) -> String {
    let inspection = &report.inspection;
    let size = report.size.map(|size| format!("  {} KB", size.div_ceil(1024))).unwrap_or_default();
    let contract = inspection.contract.iter().map(|version| format!("  gatling:hooks@{version}")).collect::<String>();
    let mut text = format!("{}{size}{contract}\n", report.path.display());
    for hook in &inspection.hooks {
        let place = match (hook.task, hook.step, hook.phase) {
            (Some(task), Some(step), Some(phase)) => format!("{task}: {} {step}", phase.name()),
            _ => "no hook".to_owned(),
        };
        let note = if hook.status == Status::Ok && !hook.message.is_empty() {
            format!("  ({})", hook.message)
        } else {
            String::new()
        };
        text += &format!("  {:<11} {:<32} {place}{note}\n", hook.status.name(), hook.name);
    }
    if inspection.hooks.is_empty() && inspection.problems.is_empty() {
        text += "  exports no hooks: nothing of it will be called\n";
    }
    for problem in &inspection.problems {
        text += &format!("  problem: {problem}\n");
    }
    text
}
