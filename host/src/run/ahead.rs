//! The first step's command, begun ahead of its turn: while mix is asked about the project, which
//! takes as long as the command itself where there is nothing new to fetch.

use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::command::{Started, kill_tree};
use crate::env::{Env, Outset, Source};
use crate::hooks::Preload;
use crate::mix::Mix;
use crate::roots::ProjectPaths;
use crate::steps::Action;
use crate::task::{Hook, Phase, Task};

/// A command that was started before its step, or nothing. If nobody takes it, it is killed.
#[derive(Debug, Default)]
pub struct Ahead(Option<Started>);

impl Ahead {
    fn start(mix: &Mix) -> Self {
        // What is wrong will be said when its turn comes.
        Self(mix.fetch().start_in_group().ok())
    }

    /// When it was started.
    #[must_use]
    pub fn begun(&self) -> Option<Instant> {
        self.0.as_ref().map(Started::at)
    }

    /// The command, if this action would run it.
    pub fn take(&mut self, action: &Action) -> Option<Started> {
        let Action::Run(command) = action else { return None };
        self.0.take_if(|started| started.command() == command)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(started) = self.0.take() {
            kill_tree(started.pid());
            _ = started.stream(|_| {});
        }
    }
}

/// Builds the env of a run. Where no hook comes first, the first step's command is begun beside.
///
/// # Errors
/// As [`Env::build`].
pub fn build_env(
    paths: &ProjectPaths,
    task: Task,
    source: &Source,
    preload: Option<&mut Preload>,
) -> Result<(Env, Ahead)> {
    let outset = Outset::look(paths, task)?;
    let mut ahead = Ahead::default();
    let facts = thread::scope(|scope| {
        let asking = scope.spawn(|| outset.ask());
        if begins_with_fetch(task, preload) {
            ahead = Ahead::start(outset.mix());
        }
        asking.join().ok().context("asking mix ended without a word")?
    });
    let facts = match facts {
        // The two may have got into each other's way.
        Err(_) if ahead.0.is_some() => {
            ahead = Ahead::default();
            outset.ask()
        }
        facts => facts,
    };
    Ok((outset.build(source, facts?)?, ahead))
}

/// Whether the first thing that the run will do is to fetch dependencies. A first deployment is
/// more likely to be refused before its first step, and is not in a hurry.
fn begins_with_fetch(task: Task, preload: Option<&mut Preload>) -> bool {
    let first = Hook { task, step: task.steps()[0].name, phase: Phase::Before };
    task == Task::Upgrade && preload.is_none_or(|preload| preload.is_without(first))
}
