//! Gatling's runs in a sandbox: what was written down of them, and the one that is under way.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use rustix::process::Pid;
use serde_json::Value;

use crate::{Sandbox, processes, waiting};

impl Sandbox {
    /// The records of a project's runs, in the order in which they were asked for.
    pub fn runs(&self, project: &str) -> Result<Vec<Value>> {
        let folder = self.home().join(".gatling").join(project).join("runs");
        let Ok(entries) = fs::read_dir(&folder) else {
            return Ok(Vec::new());
        };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        files.iter().map(|file| Ok(serde_json::from_slice(&fs::read(file)?)?)).collect()
    }

    /// Waits until the latest run has ended, and returns its record.
    pub fn wait_for_end_of_run(&self, project: &str) -> Result<Value> {
        waiting::wait_for("the run to end", || {
            self.runs(project).ok()?.pop().filter(|run| run["finished_at"].is_string())
        })
    }

    /// The process that carries out a run, if there is one just now.
    pub fn worker(&self) -> Option<Pid> {
        let is_worker = |pid: &Pid| processes::arguments(*pid).get(1).is_some_and(|argument| argument == "worker");
        processes::of(self.root()).into_iter().find(is_worker)
    }
}
