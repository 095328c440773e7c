//! mix, kept waiting after it was asked about the project: it goes on with the first step in the
//! same start, which takes it longer than what there is to do.

use anyhow::Result;

use crate::env::{Env, Outset, Source};
use crate::steps::Action;
use crate::task::Task;
use crate::toolchain::explain;
use gatling_config::roots::ProjectPaths;
use gatling_process::Started;

/// A command that waits for its turn, or none. If it never comes, the command is ended.
#[derive(Debug, Default)]
pub struct Standby(Option<Started>);

impl Standby {
    /// The command, if it is what this action would run. It has been told to go on.
    pub fn take(&mut self, action: &Action) -> Option<Started> {
        let Action::Run(command) = action else { return None };
        let mut started = self.0.take_if(|started| started.command() == command)?;
        started.go_on();
        Some(started)
    }
}

/// Builds the env of a run, with what mix says of the project.
///
/// # Errors
/// As [`Env::build`].
pub fn build_env(paths: &ProjectPaths, task: Task, source: &Source) -> Result<(Env, Standby)> {
    let outset = Outset::look(paths, task)?;
    if task == Task::Unload {
        let facts = outset.ask()?;
        return Ok((outset.build(source, facts)?, Standby::default()));
    }
    let (facts, started) = outset.mix().ask_and_wait().map_err(|error| explain(error, &paths.build_dir()))?;
    let standby = Standby(started);
    Ok((outset.build(source, facts)?, standby))
}
