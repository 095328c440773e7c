//! Gatling's runs in a sandbox: their journals, and the run that is in progress.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::{Sandbox, processes, waiting};

/// The documentation of the journal's format.
const FORMAT: &str = include_str!("../../docs/journal.md");

impl Sandbox {
    /// The folders of a project's runs, the oldest first.
    pub fn run_folders(&self, project: &str) -> Vec<PathBuf> {
        let folder = self.home().join(".gatling").join(project).join("runs");
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    }

    /// The events of a project's latest run, but for the last one, which comes when the files are on the disk.
    pub fn events(&self, project: &str) -> Result<Vec<Value>> {
        let folders = self.run_folders(project);
        let mut events = events(&folders.last().context("there was no run")?.join("journal.jsonl"))?;
        events.retain(|event| event["event"] != "synced");
        Ok(events)
    }

    /// Summaries of a project's runs, the oldest first.
    pub fn runs(&self, project: &str) -> Result<Vec<Value>> {
        self.run_folders(project).iter().map(|folder| Ok(summary(&events(&folder.join("journal.jsonl"))?))).collect()
    }

    /// The verbose log of a project's latest run.
    pub fn log_of_run(&self, project: &str) -> Result<String> {
        let output = self.run(&["log", project, "--verbose"])?;
        ensure!(output.status.success(), "{output:?}");
        Ok(output.stdout)
    }

    /// Waits until the latest run has ended, and returns its summary.
    pub fn wait_for_end_of_run(&self, project: &str) -> Result<Value> {
        waiting::wait_for("the run to end", || {
            self.runs(project).ok()?.pop().filter(|run| run["finished_at"].is_string())
        })
    }

    /// The process that carries out the current run, if there is one.
    pub fn worker(&self) -> Option<Pid> {
        let is_worker = |pid: &Pid| processes::arguments(*pid).get(1).is_some_and(|argument| argument == "worker");
        // Others may wait for it. Their pids can be smaller.
        processes::of(self.root()).into_iter().filter(is_worker).min_by_key(|pid| processes::start_time(*pid))
    }

    /// Fails unless every journal matches docs/journal.md.
    pub fn check_journals(&self) -> Result<()> {
        let projects = fs::read_dir(self.home().join(".gatling")).into_iter().flatten().flatten();
        for project in projects.filter_map(|entry| entry.file_name().into_string().ok()) {
            for folder in self.run_folders(&project) {
                let journal = folder.join("journal.jsonl");
                for event in events(&journal).unwrap_or_default() {
                    check(&event).with_context(|| format!("{}: {event}", journal.display()))?;
                }
            }
        }
        Ok(())
    }
}

/// The complete lines of a journal.
fn events(journal: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(journal).with_context(|| format!("cannot read {}", journal.display()))?;
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let lines = whole.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).with_context(|| format!("{line} is not JSON"))).collect()
}

fn summary(events: &[Value]) -> Value {
    let mut run = json!({ "outcome": "running", "steps": [] });
    for event in events {
        let step = |name: &str, hook: bool| json!({ "name": event[name], "hook": hook, "ok": event["ok"], "seconds": event["seconds"] });
        match event["event"].as_str().unwrap_or_default() {
            "begun" => {
                (run["id"], run["by"]) = (event["run"].clone(), event["by"].clone());
            }
            "planned" => {
                run["task"] = event["pipeline"].clone();
                (run["commit"], run["version"]) = (event["commit"].clone(), event["version"].clone());
            }
            "recovered" => run["outcome"] = "killed".into(),
            "step_ended" => push(&mut run, step("step", false)),
            "hook_ended" => push(&mut run, step("hook", true)),
            "ended" => {
                (run["outcome"], run["finished_at"]) = (event["outcome"].clone(), event["at"].clone());
                let causes = event["error"].as_array().into_iter().flatten().filter_map(Value::as_str);
                run["error"] = causes.collect::<Vec<_>>().join(": ").into();
            }
            _ => {}
        }
    }
    run
}

fn push(run: &mut Value, step: Value) {
    if let Some(steps) = run["steps"].as_array_mut() {
        steps.push(step);
    }
}

/// Fails unless an event and its fields are documented.
fn check(event: &Value) -> Result<()> {
    let fields = event.as_object().context("an event is an object")?;
    let kind = event["event"].as_str().context("an event has a kind")?;
    ensure!(event["v"] == 1 && event["at"].is_string(), "an event has a version and a time");
    let text = FORMAT.split_once("## Events").context("there is a list of events")?.1;
    let text =
        text.split("\n### ").find(|text| text.starts_with(&format!("`{kind}`\n"))).context("it is not documented")?;
    let text = text.split("\n## ").next().unwrap_or(text);
    let documented: Vec<(&str, bool)> = text.split("\n- `").skip(1).filter_map(field).collect();
    for name in fields.keys().filter(|name| !["v", "at", "event"].contains(&name.as_str())) {
        ensure!(documented.iter().any(|(documented, _)| documented == name), "its field {name} is not documented");
    }
    let missing = documented.iter().find(|(name, always)| *always && !fields.contains_key(*name));
    ensure!(missing.is_none(), "its field {missing:?} is missing");
    Ok(())
}

/// The name of a field, and whether it is always there.
fn field(text: &str) -> Option<(&str, bool)> {
    Some((text.split('`').next()?, !text.split("\n\n").next()?.to_lowercase().contains("left out")))
}
