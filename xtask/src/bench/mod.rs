//! `cargo xtask bench`: an upgrade by Gatling against a shell script that does the same.
//!
//! Every program that an upgrade runs is replaced by a stand-in that does nothing, so that what
//! is left is what the pipeline itself costs. Both sides run the same stand-ins with the same
//! arguments, as whole processes, taking turns.

mod recording;
mod stage;
mod table;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use gatling_tests::{Sandbox, places};

use crate::{guests, setup, shell};
use stage::Stage;
use table::Table;

/// Rounds that are not counted: the first ones compile the hooks and fill the caches.
const WARM_UPS: usize = 5;
/// Rounds that are counted. In each one every contender has its turn.
const ROUNDS: usize = 40;
/// The largest that the program may be.
const LARGEST: u64 = 20_000_000;

/// Who is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Gatling { hooks: bool },
    Script { hooks: bool },
}

/// All contenders, in the order of their turns.
const CONTENDERS: [Contender; 4] = [
    Contender::Gatling { hooks: false },
    Contender::Gatling { hooks: true },
    Contender::Script { hooks: false },
    Contender::Script { hooks: true },
];

/// Times both sides and prints a table. It is an error when Gatling is the slower one, or when
/// its program is too large.
pub(crate) fn bench() -> Result<()> {
    setup::ensure(&setup::DEMO)?;
    shell::show(shell::cargo().current_dir(places::workspace()).args(["build", "--release", "--package", "gatling"]))?;
    guests::build(&places::workspace().join("tests/guests"))?;
    let program = places::target_dir()?.join("release/gatling");
    let size = fs::metadata(&program)?.len();

    println!("Deploying the example app, to see which programs an upgrade runs");
    let sandbox = Sandbox::with_program(program)?;
    let stage = Stage::set(&sandbox, &places::guest("empty16")?)?;
    println!("Timing {ROUNDS} rounds of `gatling upgrade hello` and of a script that runs the same programs\n");
    let table = Table::new(CONTENDERS.map(|contender| (contender, Vec::new())));
    let table = race(&stage, table)?;

    println!("{table}");
    println!("release binary        {:6.1} MB", size as f64 / 1e6);
    if table.ratio() >= 1.0 {
        bail!("Gatling with 16 hooks takes longer than the script with 16 hooks");
    }
    if size >= LARGEST {
        bail!("the release binary is larger than {} MB", LARGEST / 1_000_000);
    }
    Ok(())
}

fn race(stage: &Stage<'_>, mut table: Table) -> Result<Table> {
    for round in 0..WARM_UPS + ROUNDS {
        for contender in CONTENDERS {
            let time = time(stage, contender)?;
            if round >= WARM_UPS {
                table.add(contender, time);
            }
        }
    }
    Ok(table)
}

fn time(stage: &Stage<'_>, contender: Contender) -> Result<Duration> {
    stage.reset()?;
    let mut command = match contender {
        Contender::Gatling { hooks } => stage.upgrade(hooks)?,
        Contender::Script { hooks } => stage.run_script(hooks),
    };
    let start = Instant::now();
    let output = command.output()?;
    let time = start.elapsed();
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("{contender} failed:\n{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    // Hooks that were not called would make for a fine time.
    let called = match contender {
        Contender::Gatling { hooks: true } => said.contains(", 16 hooks,"),
        Contender::Gatling { hooks: false } => said.contains(", 0 hooks,"),
        Contender::Script { .. } => true,
    };
    if !called {
        bail!("{contender} did not call the hooks that it should have:\n{said}");
    }
    Ok(time)
}
