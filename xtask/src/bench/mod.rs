//! `cargo xtask bench`: what hooks cost, and what a deployment by Gatling costs, against scripts
//! that do the same; what of an upgrade of a Phoenix app is Gatling's own time; and what it costs to write
//! runs down and to look at them.
//!
//! What is compared takes turns, as whole processes. Nothing is printed but medians and the half
//! of all times around them: one slow round says something of the machine alone.

mod app;
mod calls;
mod growth;
mod languages;
mod numbers;
mod phoenix;
mod projects;
mod race;
mod real;
mod runs;
mod scripts;
mod stopwatch;
mod switch;
mod table;
mod targets;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail};
use gatling_tests::{Sandbox, places};

use crate::interrupt::Interrupt;
use crate::{guests, setup, shell};
use calls::Calls;
use languages::Languages;
use phoenix::Phoenix;
use projects::{LANGUAGES, Language, PYTHON, RUST};
use real::Real;
use runs::Runs;
use switch::Switch;
use targets::{Target, Targets};
use trial::Bench;

/// The hooks of an upgrade, in its order.
const HOOKS: [&str; 16] = [
    "before_mix_deps_get",
    "after_mix_deps_get",
    "before_mix_compile",
    "after_mix_compile",
    "before_mix_digest",
    "after_mix_digest",
    "before_mix_release",
    "after_mix_release",
    "before_make_upgrade_dir",
    "after_make_upgrade_dir",
    "before_copy_release_to_upgrade",
    "after_copy_release_to_upgrade",
    "before_upgrade_service",
    "after_upgrade_service",
    "before_configure_nginx",
    "after_configure_nginx",
];

/// The load of a machine that does nothing much else.
const QUIET: f64 = 0.5;

/// What to bench, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Few rounds, and components of an earlier run where there are some: for a first look
    #[arg(long)]
    quick: bool,
    /// Time nothing but upgrades of the example app with its real programs, in so many rounds
    #[arg(long, value_name = "ROUNDS")]
    real: Option<usize>,
    /// Time nothing but upgrades of a Phoenix app, in so many rounds
    #[arg(long, value_name = "ROUNDS", conflicts_with = "real")]
    phoenix: Option<usize>,
    /// Time nothing but what runs cost: their journals, much output, many of them, in so many rounds
    #[arg(long, value_name = "ROUNDS", conflicts_with_all = ["real", "phoenix"])]
    runs: Option<usize>,
    /// Time nothing but upgrades under load, so many in a row by each strategy
    #[arg(long, value_name = "UPGRADES", conflicts_with_all = ["real", "phoenix", "runs"])]
    switch: Option<usize>,
    /// Bench this `gatling`, instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// How many rounds each part has.
struct Rounds {
    cold: usize,
    cached: usize,
    growth: usize,
    calls: usize,
    elixir: usize,
    starts: usize,
    real: usize,
    phoenix: usize,
    runs: usize,
    upgrades: usize,
}

impl Rounds {
    const FULL: Self = Self {
        cold: 3,
        cached: 15,
        growth: 5,
        calls: 30,
        elixir: 3,
        starts: 20,
        real: 7,
        phoenix: 7,
        runs: 5,
        upgrades: 20,
    };
    const QUICK: Self = Self {
        cold: 1,
        cached: 5,
        growth: 2,
        calls: 8,
        elixir: 1,
        starts: 5,
        real: 2,
        phoenix: 2,
        runs: 2,
        upgrades: 3,
    };
}

/// Measures everything and prints it. It is an error when Gatling with hooks is slower than a
/// script with hooks, or when its program is too large.
pub(crate) fn bench(options: &Options) -> Result<()> {
    setup::ensure(&setup::DEMO)?;
    setup::ensure(&setup::HOOKS)?;
    setup::ensure(&[setup::POSTGRES, setup::WRK])?;
    let program = program(options)?;
    println!("{}", surroundings()?);
    let size = fs::metadata(&program)?.len() as f64 / 1e6;
    // What is timed gets the signal too, and fails: then sandboxes are dropped and cleaned up.
    let interrupt = Interrupt::catch()?;
    if let Some(rounds) = options.real {
        make_hooks(&program, &[RUST], true)?;
        Real::measure(&Sandbox::with_program(program)?, rounds)?.print();
        return Ok(());
    }
    if let Some(rounds) = options.phoenix {
        Phoenix::measure(&Sandbox::with_program(program)?, rounds)?.print();
        return Ok(());
    }
    if let Some(rounds) = options.runs {
        println!("{}", Runs::measure(&Sandbox::with_program(program)?, rounds)?);
        return Ok(());
    }
    if let Some(upgrades) = options.switch {
        Switch::measure(&program, upgrades)?.print();
        return Ok(());
    }
    make_hooks(&program, &LANGUAGES, options.quick)?;
    let rounds = if options.quick { Rounds::QUICK } else { Rounds::FULL };

    let sandbox = Sandbox::with_program(program.clone())?;
    let folder = sandbox.root().join("bench");
    let bench = Bench { gatling: &program, folder: folder.clone() };
    fs::create_dir_all(&folder)?;
    println!("Timing hooks in {} languages\n", LANGUAGES.len());
    let languages = Languages::measure(&bench, rounds.cold, rounds.cached)?;
    languages.print();
    interrupt.check()?;
    growth::print(&bench, &folder, rounds.growth)?;
    let calls = Calls::measure(&bench, &rounds)?;
    calls.print();
    interrupt.check()?;
    drop(sandbox);
    let real = Real::measure(&Sandbox::with_program(program.clone())?, rounds.real)?;
    real.print();
    interrupt.check()?;
    let phoenix = Phoenix::measure(&Sandbox::with_program(program.clone())?, rounds.phoenix)?;
    phoenix.print();
    interrupt.check()?;
    let runs = Runs::measure(&Sandbox::with_program(program.clone())?, rounds.runs)?;
    println!("{runs}");
    interrupt.check()?;
    let switch = Switch::measure(&program, rounds.upgrades)?;
    switch.print();

    let targets = targets(&languages, &calls, &real, &phoenix, &runs, &switch, size);
    println!("{targets}");
    match targets.failures().as_slice() {
        [] => Ok(()),
        failures => bail!("missed: {}", failures.join("; ")),
    }
}

/// The program to bench.
fn program(options: &Options) -> Result<PathBuf> {
    match &options.program {
        Some(program) => {
            program.canonicalize().with_context(|| format!("cannot find the program {}", program.display()))
        }
        None => {
            let mut build = shell::cargo();
            build.current_dir(places::workspace()).args(["build", "--release", "--package", "gatling"]);
            shell::show(&mut build)?;
            Ok(places::target_dir()?.join("release/gatling"))
        }
    }
}

/// What else the machine does, which every number has a part of.
fn surroundings() -> Result<String> {
    let load = fs::read_to_string("/proc/loadavg").context("asking how busy the machine is")?;
    let load: f64 = load.split(' ').next().unwrap_or_default().parse().context("reading how busy the machine is")?;
    let cpus = thread::available_parallelism()?;
    let advice = if load < QUIET { "" } else { ": it is busy with something else, and the numbers are rough" };
    Ok(format!("This machine has {cpus} CPUs, and a load of {load:.1} before the bench{advice}"))
}

/// Makes the components that are benched.
fn make_hooks(program: &Path, languages: &[Language], old: bool) -> Result<()> {
    guests::build(&places::workspace().join("tests/guests"))?;
    for language in languages {
        println!("Building 16 empty hooks in {language}");
        projects::make(program, *language, old)?;
    }
    Ok(())
}

/// What the measurements are held against.
fn targets(
    languages: &Languages,
    calls: &Calls,
    real: &Real,
    phoenix: &Phoenix,
    runs: &Runs,
    switch: &Switch,
    size: f64,
) -> Targets {
    let hooks = HOOKS.len() as f64;
    let rust = calls.added(RUST);
    Targets(vec![
        Target::binding("16 hooks: Gatling with Rust / a shell with sh scripts", calls.ratio(), 1.0, "times"),
        Target::told("what 16 hooks in Rust add to a process, cached", rust, 5.0, "ms"),
        Target::told("the same on one CPU", calls.added_on_one_cpu(), 5.0, "ms"),
        Target::told("what they add, as a part of what 16 sh scripts add", 100.0 * rust / calls.sh_added(), 25.0, "%"),
        Target::told(
            "a hook in Python, cached, against one start of python3",
            calls.added(PYTHON) / hooks,
            calls.python_start(),
            "ms",
        ),
        Target::told("until hooks in Python are ready, cached", languages.ready(PYTHON), 10.0, "ms"),
        Target::told("`hooks check` of hooks in Python", languages.check(PYTHON), 100.0, "ms"),
        Target::told("the real app, no hooks: Gatling / bash", real.ratio(), 0.75, "times"),
        Target::told("writing the journal of an upgrade", runs.journal(), 50.0, "ms"),
        Target::told("`cat` of 1 GB: as a step / to a file", runs.printing(), 1.2, "times"),
        Target::told("`status`, `history` or `log` with 10,000 runs", runs.slowest_look(), 50.0, "ms"),
        Target::told("ours, of an upgrade of a Phoenix app", phoenix.ours(), 300.0, "ms"),
        Target::told("blue-green and hot: requests that failed, or met a wrong version", switch.lost(), 1.0, ""),
        Target::told("hot: from built to serving, in the same process", switch.hot_seconds(), 1.0, "s"),
        Target::told("blue-green: the longest answer, switch / build", switch.latency(), 2.0, "times"),
        Target::told("requests per second that the switch costs", switch.cost(), 3.0, "%"),
        Target::binding("the release binary", size, 24.0, "MB"),
    ])
}
