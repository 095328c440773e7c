//! Pushes, rollbacks, kills and power failures, drawn at random, on a machine with systemd.
//!
//! `GATLING_RANDOM_SECONDS` says how long (half a minute by default), `GATLING_RANDOM_SEED` repeats what was drawn.

use std::env;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use gatling_tests::Sandbox;
use gatling_tests::random::Random;

use crate::faults::Stage;
use crate::push;

/// What may happen. Numbers are milliseconds after the start of a push.
#[derive(Clone, Copy, Debug)]
enum Move {
    Push,
    KillWorker(u64),
    /// Everything of the user who deploys: the run, the init script and the app.
    KillUser(u64),
    KillApp(u64),
    PullThePlug(u64),
    Rollback,
    Restart,
    /// What an operator may do during a push.
    RestartService(u64),
    StopAndStart,
    Strategy(&'static str),
}

impl Move {
    fn draw(random: &mut Random) -> Self {
        match random.below(12) {
            0 => Self::Push,
            1 | 2 => Self::KillWorker(random.below(2500)),
            3 | 4 => Self::KillUser(random.below(2500)),
            5 => Self::KillApp(random.below(2500)),
            6 => Self::PullThePlug(random.below(2500)),
            7 => Self::Rollback,
            8 => Self::Restart,
            9 => Self::RestartService(random.below(2500)),
            10 => Self::StopAndStart,
            _ => Self::Strategy(["blue-green", "hot", "restart"][usize::try_from(random.below(3)).unwrap_or(0)]),
        }
    }
}

/// Pushes the next version, and runs a script, or pulls the plug, so many milliseconds later.
fn push_and(stage: &mut Stage<'_>, after: u64, script: Option<&str>) -> Result<()> {
    stage.next_version()?;
    let mut pushing = stage.server.machine.command()?;
    let pushing = pushing.args(["su", "-l", "deploy", "-c", &push()]);
    let mut pushing = pushing.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn()?;
    thread::sleep(Duration::from_millis(after));
    match script {
        Some(script) => drop(stage.server.machine.run(script)?),
        None => stage.server.reboot(),
    }
    pushing.wait()?;
    Ok(())
}

fn make(stage: &mut Stage<'_>, next: Move) -> Result<()> {
    // Not so many deaths that the next start waits.
    stage.server.machine.get("rm -f /home/deploy/deployments/hello/log/restarts")?;
    match next {
        Move::Push => push_and(stage, 0, Some("true")),
        Move::KillWorker(after) => push_and(stage, after, Some("pkill -9 -f 'gatling worker'")),
        Move::KillUser(after) => push_and(stage, after, Some("pkill -9 -u deploy")),
        Move::KillApp(after) => push_and(stage, after, Some("pkill -9 -x stand-in-app")),
        Move::PullThePlug(after) => push_and(stage, after, None),
        Move::Rollback | Move::Restart => {
            let command = if matches!(next, Move::Restart) { "restart" } else { "rollback" };
            stage.server.as_deploy(&format!("gatling {command} hello"));
            Ok(())
        }
        Move::RestartService(after) => push_and(stage, after, Some("systemctl restart hello")),
        Move::StopAndStart => stage.server.machine.get("systemctl stop hello && systemctl start hello").map(drop),
        Move::Strategy(strategy) => {
            let settings = stage.server.hello.read("gatling.toml")?;
            let others = settings.lines().filter(|line| !line.starts_with("strategy"));
            let line = format!("strategy = \"{strategy}\"");
            let lines: Vec<_> = std::iter::once(line.as_str()).chain(others).collect();
            stage.server.hello.write("gatling.toml", &(lines.join("\n") + "\n"))?;
            push_and(stage, 0, Some("true"))
        }
    }
}

/// Some version serves, and `gatling status` names it.
fn check(stage: &Stage<'_>) -> Result<()> {
    let versions: Vec<_> = (1..=stage.version).map(|number| format!("0.{number}.0")).collect();
    let versions: Vec<_> = versions.iter().map(String::as_str).collect();
    stage.wait_for(&versions)?;
    let status = stage.server.as_deploy("gatling status hello");
    let served = stage.served().with_context(|| format!("it serves: {status:?}"))?;
    anyhow::ensure!(status.says(&format!("hello {served}")) && status.says("is serving"), "{served}: {status:?}");
    Ok(())
}

#[test]
fn whatever_happens_a_unit_serves_and_the_next_push_works() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("GATLING_RANDOM_SEED").unwrap_or(now.as_secs());
    println!("GATLING_RANDOM_SEED={seed}");
    let sandbox = Sandbox::new().unwrap();
    let Some(mut stage) = Stage::new(&sandbox) else { return };
    stage.deploy().unwrap();
    let end = Instant::now() + Duration::from_secs(number("GATLING_RANDOM_SECONDS").unwrap_or(30));

    let mut random = Random::new(seed);
    let mut moves = Vec::new();
    while Instant::now() < end {
        let next = Move::draw(&mut random);
        moves.push(format!("{next:?}"));
        let begun = Instant::now();
        let result = make(&mut stage, next).and_then(|()| check(&stage));
        // No two of them may wait for each other until one gives up.
        let result = result.and_then(|()| {
            let seconds = begun.elapsed().as_secs();
            anyhow::ensure!(seconds < 60, "it took {seconds} s");
            Ok(())
        });
        let result = match random.below(3) {
            0 => result.and_then(|()| stage.deploy().context("the next push")),
            _ => result,
        };
        if let Err(error) = result {
            let last = &moves[moves.len().saturating_sub(5)..];
            let journal = stage.server.machine.get("journalctl -n 60 --no-pager -o short-precise").unwrap_or_default();
            panic!("seed {seed}, after {} moves, the last {last:?}: {error:#}\n{journal}", moves.len());
        }
    }
    stage.deploy().unwrap();
    println!("{} moves", moves.len());
}
