//! Pushes, kills, power failures, full disks, cancels and jumps of the clock, drawn at random. After each, the same holds.
//!
//! `GATLING_RANDOM_SECONDS` says how long (a minute by default), `GATLING_RANDOM_SEED` repeats what was drawn.

use std::env;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use gatling_faultfs::{Durability, Errno, FaultFs};
use gatling_tests::Running;
use gatling_tests::random::Random;
use rustix::process::{Signal, kill_process};

use super::*;

/// What may happen. Numbers are milliseconds, or counts of writes.
#[derive(Clone, Copy, Debug)]
enum Move {
    Push(What),
    PushTwice,
    KillWorker(u64),
    KillEverything(u64),
    PowerFailure(u64),
    FullDisk(u64),
    BrokenDisk(u64),
    Cancel(u64),
    Restart,
    Rollback,
    InPlace(bool),
    Clock(i64),
}

#[derive(Clone, Copy, Debug)]
enum What {
    Good,
    Broken,
    Crashes,
}

impl Move {
    fn draw(random: &mut Random) -> Self {
        match random.below(14) {
            0 => Move::Push(What::Good),
            1 => Move::Push(What::Broken),
            2 => Move::Push(What::Crashes),
            3 => Move::PushTwice,
            4 | 5 => Move::KillWorker(random.below(1500)),
            6 => Move::KillEverything(random.below(1500)),
            7 => Move::PowerFailure(random.below(1500)),
            8 => Move::FullDisk(random.below(400)),
            9 => Move::BrokenDisk(random.below(400)),
            10 => Move::Cancel(random.below(1500)),
            11 => Move::Rollback,
            12 => Move::InPlace(random.below(2) == 0),
            _ if random.below(2) == 0 => Move::Restart,
            _ => Move::Clock(if random.below(2) == 0 { 3600 } else { -3600 }),
        }
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// What must hold: visitors get one of these versions.
struct Model {
    stage: Stage,
    disk: FaultFs,
    may_serve: Vec<String>,
    boots: u32,
}

impl Model {
    fn push(&mut self, what: What) -> Result<Running> {
        let version = match what {
            What::Good => self.stage.next_version()?,
            What::Broken => self.stage.next_version_that("-broken")?,
            What::Crashes => self.stage.next_version_that("-crashes")?,
        };
        if matches!(what, What::Good) {
            self.may_serve.push(version);
        }
        self.disk.sync();
        self.stage.start("push", "")
    }

    /// Makes a move, and waits for its end.
    fn make(&mut self, next: Move) -> Result<()> {
        let wait = |milliseconds| thread::sleep(Duration::from_millis(milliseconds));
        match next {
            Move::Push(what) => drop(self.push(what)?.end()?),
            Move::PushTwice => {
                let first = self.push(What::Good)?;
                let second = self.push(What::Good)?;
                first.end()?;
                second.end()?;
            }
            Move::KillWorker(after) => {
                let push = self.push(What::Good)?;
                wait(after);
                if let Some(worker) = self.stage.sandbox.worker() {
                    // An error means that it has ended.
                    _ = kill_process(worker, Signal::KILL);
                }
                push.end()?;
            }
            Move::KillEverything(after) => {
                let push = self.push(What::Good)?;
                wait(after);
                self.stage.pull_the_plug()?;
                push.end()?;
                self.stage.boot()?;
            }
            Move::PowerFailure(after) => {
                let push = self.push(What::Good)?;
                wait(after);
                self.stage.pull_the_plug()?;
                push.end()?;
                if self.stage.has_synced()? {
                    // syncfs, which this file system does not notice.
                    self.disk.sync();
                }
                self.disk.crash();
                self.boots += 1;
                let boot = ("GATLING_BOOT".into(), self.boots.to_string().into());
                self.stage.sandbox.add_variables([boot]);
                self.stage.boot()?;
            }
            Move::FullDisk(writes) => self.push_on_a_bad_disk(writes, Errno::NOSPC)?,
            Move::BrokenDisk(writes) => self.push_on_a_bad_disk(writes, Errno::IO)?,
            Move::Cancel(after) => {
                let push = self.push(What::Good)?;
                wait(after);
                self.stage.sandbox.run(&["cancel", "hello"])?;
                push.end()?;
            }
            Move::Restart => drop(self.stage.sandbox.run(&["restart", "hello"])?),
            Move::Rollback => {
                let releases = fs::read_dir(self.stage.sandbox.home().join("deployments/hello/releases"))?.flatten();
                let names = releases.filter_map(|release| release.file_name().into_string().ok());
                self.may_serve.extend(names.filter_map(|name| Some(name.split('+').next()?.to_owned())));
                self.stage.sandbox.run(&["rollback", "hello"])?;
            }
            Move::InPlace(is_wanted) => {
                self.stage.upgrade_in_place(is_wanted)?;
                self.push(What::Good)?.end()?;
            }
            Move::Clock(seconds) => {
                // What a jump of the clock leaves: files whose times are in the future, or far in the past.
                let time = SystemTime::now();
                let shift = Duration::from_secs(seconds.unsigned_abs());
                let time = if seconds > 0 { time + shift } else { time - shift };
                let folder = self.stage.sandbox.home().join("hello");
                for entry in fs::read_dir(folder)?.flatten().filter(|entry| entry.path().is_file()) {
                    fs::File::open(entry.path())?.set_modified(time)?;
                }
            }
        }
        Ok(())
    }

    fn push_on_a_bad_disk(&mut self, writes: u64, error: Errno) -> Result<()> {
        let version = self.stage.next_version()?;
        self.may_serve.push(version);
        self.disk.sync();
        self.disk.fail_after(writes, error);
        let pushed = self.stage.start("push", "");
        let ended = pushed.and_then(Running::end);
        self.disk.heal();
        ended.map(drop)
    }

    /// Fails unless what must hold holds.
    fn check(&mut self) -> Result<()> {
        let may_serve: Vec<_> = self.may_serve.iter().map(String::as_str).collect();
        self.stage.wait_for(&may_serve)?;
        check_status(&self.stage).context("the status")?;
        let served = self.stage.served().context("it serves")?;
        self.may_serve = vec![served];
        Ok(())
    }

    /// Fails unless the next push deploys and leaves nothing.
    fn check_push(&mut self) -> Result<()> {
        let next = self.stage.next_version()?;
        self.disk.sync();
        self.stage.hello().deploy().context("the next push")?;
        self.stage.wait_for(&[&next])?;
        self.may_serve = vec![next];
        self.stage.expect_tidy()
    }
}

#[test]
fn whatever_happens_some_version_serves_and_the_next_push_works() {
    if !FaultFs::is_available() {
        println!("SKIPPED: no file system can be mounted here: that takes root and /dev/fuse");
        return;
    }
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("GATLING_RANDOM_SEED").unwrap_or(now.as_secs());
    let end = Instant::now() + Duration::from_secs(number("GATLING_RANDOM_SECONDS").unwrap_or(60));
    println!("GATLING_RANDOM_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultFs::mount_with(folder.path(), Durability::Ordered).unwrap();
    let mut stage = Stage::below(folder.path()).unwrap();
    let first = stage.next_version().unwrap();
    stage.hello().deploy().unwrap();
    let mut model = Model { stage, disk, may_serve: vec![first], boots: 0 };

    let mut random = Random::new(seed);
    let mut moves = Vec::new();
    while Instant::now() < end {
        let next = Move::draw(&mut random);
        moves.push(next);
        let result = model.make(next).and_then(|()| model.check());
        let result = match random.below(3) {
            0 => result.and_then(|()| model.check_push()),
            _ => result,
        };
        if let Err(error) = result {
            model.stage.sandbox.keep();
            let moves: Vec<_> = moves.iter().map(ToString::to_string).collect();
            panic!(
                "seed {seed}, after {} moves, the last {}: {error:#}",
                moves.len(),
                moves[moves.len().saturating_sub(5)..].join(", ")
            );
        }
    }
    model.check_push().unwrap();
    println!("{} moves", moves.len());
}
