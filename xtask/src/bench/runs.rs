//! What it costs to write runs down and to look at them: the journal of a run, a step that prints a
//! gigabyte, ten thousand runs that are kept, and fifty pushes at once.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatling_runs::{Entry, Event, Events, Journal, Reader};
use gatling_tests::{Output, Project, Sandbox};

use super::app;
use super::numbers::{median, milliseconds};

/// What a step prints, in bytes.
const PRINTED: u64 = 1 << 30;
/// How many runs are kept.
const KEPT: usize = 10_000;
/// How many projects are pushed at once.
const PROJECTS: usize = 50;
/// How often each command that looks at runs is timed.
const LOOKS: usize = 15;

/// What was measured.
pub(super) struct Runs {
    /// What writing the journal of an upgrade takes, syncing included, in milliseconds.
    journal: f64,
    /// How many events that are.
    events: usize,
    /// How long `cat` of a gigabyte takes as a step's command, and to a file, in milliseconds: of each round.
    printed: Vec<(f64, f64)>,
    /// The most memory that the worker had meanwhile, in MB.
    memory: f64,
    /// How long each command took with [`KEPT`] runs, in milliseconds.
    looks: Vec<(&'static str, f64)>,
    /// How long the pushes took altogether, and the longest of them.
    pushes: (Duration, Duration),
}

impl Runs {
    /// Measures it.
    pub(super) fn measure(sandbox: &Sandbox, rounds: usize) -> Result<Self> {
        println!("Deploying the example app, to look at its runs\n");
        let hello = sandbox.load("hello")?;
        hello.deploy()?;
        let (journal, events) = journal(sandbox, rounds)?;
        let (printed, memory) = print_much(sandbox, &hello, rounds)?;
        let looks = look(sandbox)?;
        println!("Pushing to {PROJECTS} projects at once\n");
        let pushes = push_at_once(sandbox)?;
        Ok(Self { journal, events, printed, memory, looks, pushes })
    }

    /// How many times as long a gigabyte takes as a step's output as to a file.
    pub(super) fn printing(&self) -> f64 {
        median(self.printed.iter().map(|(step, file)| step / file))
    }

    /// The slowest look at ten thousand runs, in milliseconds.
    pub(super) fn slowest_look(&self) -> f64 {
        self.looks.iter().map(|(_, time)| *time).fold(f64::NAN, f64::max)
    }

    /// What the journal of a run costs, in milliseconds.
    pub(super) fn journal(&self) -> f64 {
        self.journal
    }
}

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Runs\n")?;
        writeln!(f, "  writing the journal of an upgrade, {} events: {:.1} ms", self.events, self.journal)?;
        let part = |part: fn(&(f64, f64)) -> f64| median(self.printed.iter().map(part));
        writeln!(
            f,
            "  `cat` of 1 GB: as a step {:.0} ms, to a file {:.0} ms; {:.2} times; the worker had {:.0} MB at most",
            part(|(step, _)| *step),
            part(|(_, file)| *file),
            self.printing(),
            self.memory
        )?;
        for (command, time) in &self.looks {
            writeln!(f, "  `gatling {command}` with {KEPT} runs: {time:.0} ms")?;
        }
        let (all, longest) = self.pushes;
        writeln!(
            f,
            "  {PROJECTS} first pushes to {PROJECTS} projects at once: {:.0} s, the longest {:.0} s",
            all.as_secs_f64(),
            longest.as_secs_f64()
        )
    }
}

/// Writes the journal of the latest run again and again, as it was written: what is about to be changed,
/// and what was, is on the disk before it goes on.
fn journal(sandbox: &Sandbox, rounds: usize) -> Result<(f64, usize)> {
    let folder = sandbox.run_folders("hello").pop().context("there was no run")?;
    let entries = Reader::open(&folder.join("journal.jsonl"))?.collect::<Result<Vec<Entry>, _>>()?;
    let mut times = Vec::new();
    for round in 0..rounds.max(5) {
        let path = folder.join(format!("copy-{round}.jsonl"));
        let begun = Instant::now();
        let events = Events::new(Journal::create(&path, 4 << 20)?);
        for entry in &entries {
            events.emit(entry.event.clone());
            if matches!(entry.event, Event::Changing { .. } | Event::Changed { .. }) {
                events.sync();
            }
        }
        drop(events);
        times.push(milliseconds(begun.elapsed()));
        fs::remove_file(path)?;
    }
    Ok((median(times), entries.len()))
}

/// Upgrades whose migration is a `cat` of a gigabyte, and the same to a file in turn.
fn print_much(sandbox: &Sandbox, hello: &Project<'_>, rounds: usize) -> Result<(Vec<(f64, f64)>, f64)> {
    let big = sandbox.root().join("big.txt");
    write_lines(&big)?;
    let settings = hello.read("gatling.toml")?;
    hello.write("gatling.toml", &format!("migrate = [\"cat\", {:?}]\n{settings}", big.display().to_string()))?;
    hello.commit("A migration that prints a gigabyte")?;
    Output::of(&mut hello.push_command(&["main"]))?.expect_success()?;
    let (mut times, mut memory) = (Vec::new(), 0.0_f64);
    for _ in 0..rounds {
        let mut upgrade = sandbox.gatling(&["upgrade", "hello", "--quiet"]);
        let mut child = upgrade.stdout(Stdio::null()).spawn().context("starting gatling")?;
        while child.try_wait()?.is_none() {
            memory = memory.max(sandbox.worker().and_then(peak_memory).unwrap_or_default());
            std::thread::sleep(Duration::from_millis(5));
        }
        let step = seconds_of(sandbox, "cat ")? * 1e3;
        let copy = sandbox.root().join("copy.txt");
        let mut cat = Command::new("cat");
        cat.arg(&big).stdout(File::create(&copy)?);
        let (file, _) = app::time(&mut cat)?;
        fs::remove_file(copy)?;
        times.push((step, milliseconds(file)));
    }
    hello.write("gatling.toml", &settings)?;
    hello.commit("No migration")?;
    fs::remove_file(big)?;
    Ok((times, memory))
}

fn write_lines(path: &Path) -> Result<()> {
    let line = format!("{}\n", "what a program says while it works, in ninety characters or so ".repeat(2));
    let mut file = BufWriter::new(File::create(path)?);
    for _ in 0..PRINTED / line.len() as u64 {
        file.write_all(line.as_bytes())?;
    }
    Ok(file.flush()?)
}

/// How long a command of the latest run took, in seconds, as the journal says.
fn seconds_of(sandbox: &Sandbox, command: &str) -> Result<f64> {
    let events = sandbox.events("hello")?;
    let is_it = |event: &&serde_json::Value| event["line"].as_str().is_some_and(|line| line.starts_with(command));
    let mut rest = events.iter().skip_while(|event| !is_it(event));
    let ended = rest.find(|event| event["event"] == "command_ended");
    ended.and_then(|event| event["seconds"].as_f64()).with_context(|| format!("no `{command}` has ended"))
}

/// The most memory that a process had, in MB.
fn peak_memory(pid: rustix::process::Pid) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1e3)
}

/// Times the commands that look at runs.
fn look(sandbox: &Sandbox) -> Result<Vec<(&'static str, f64)>> {
    let runs = sandbox.home().join(".gatling/hello/runs");
    let folder = sandbox.run_folders("hello").into_iter().next().context("there was no run")?;
    let journal = fs::read(folder.join("journal.jsonl"))?;
    for number in 0..KEPT {
        let folder = runs.join(format!("20200101-{number:06}-000-1"));
        fs::create_dir(&folder)?;
        fs::write(folder.join("journal.jsonl"), &journal)?;
    }
    let commands: [(&str, &[&str]); 3] = [
        ("status", &["status", "hello"]),
        ("history", &["history", "hello"]),
        ("log", &["log", "hello", "20200101-000000"]),
    ];
    let mut looks = Vec::new();
    for (name, arguments) in commands {
        let times: Result<Vec<_>> =
            (0..LOOKS).map(|_| Ok(milliseconds(app::time(&mut sandbox.gatling(arguments))?.0))).collect();
        looks.push((name, median(times?)));
    }
    for number in 0..KEPT {
        fs::remove_dir_all(runs.join(format!("20200101-{number:06}-000-1")))?;
    }
    Ok(looks)
}

/// First pushes to many projects at once: how long all of them took, and the longest.
fn push_at_once(sandbox: &Sandbox) -> Result<(Duration, Duration)> {
    let names: Vec<_> = (0..PROJECTS).map(|number| format!("hello{number}")).collect();
    let mut projects = Vec::new();
    for name in &names {
        let project = sandbox.load(name)?;
        project.write("domains", &format!("{name}.example.com\n"))?;
        project.commit("A host name of its own")?;
        projects.push(project);
    }
    let begun = Instant::now();
    let pushes: Result<Vec<_>> = projects.iter().map(|project| project.start_push(&["main"])).collect();
    let mut longest = Duration::ZERO;
    for push in pushes? {
        let output = push.end()?;
        ensure!(output.says(" is serving at "), "a push did not deploy: {output:?}");
        longest = longest.max(begun.elapsed());
    }
    Ok((begun.elapsed(), longest))
}
