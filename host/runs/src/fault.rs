//! Faults that tests inject, in debug builds only. A run passes the same points each time; a test names one by its
//! number, and what happens there.
//!
//! The variable `GATLING_FAULT` is `NUMBER:KIND:FOLDER`. Kinds: `list` notes the name of each point in the file
//! `FOLDER/points`, `kill` kills the process, `stop` makes the file `FOLDER/reached` and waits for ever, and `enospc` and
//! `eio` fail with this error of the system.

use std::io;

/// Passes a point, whose name says what is about to happen.
///
/// # Errors
/// The error that a test injects.
#[cfg(not(debug_assertions))]
#[inline]
pub fn point(_name: impl FnOnce() -> String) -> io::Result<()> {
    Ok(())
}

/// Passes a point, whose name says what is about to happen.
///
/// # Errors
/// The error that a test injects.
#[cfg(debug_assertions)]
pub fn point(name: impl FnOnce() -> String) -> io::Result<()> {
    injection::FAULT.as_ref().map_or(Ok(()), |fault| fault.pass(name))
}

#[cfg(debug_assertions)]
mod injection {
    use std::fs::OpenOptions;
    use std::io::{self, Write as _};
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use std::{env, fs, thread};

    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};

    pub(super) static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| Fault::parse(&env::var("GATLING_FAULT").ok()?));

    pub(super) struct Fault {
        number: usize,
        kind: String,
        folder: PathBuf,
        passed: AtomicUsize,
    }

    impl Fault {
        fn parse(text: &str) -> Option<Self> {
            let mut parts = text.splitn(3, ':');
            let number = parts.next()?.parse().ok()?;
            let (kind, folder) = (parts.next()?.to_owned(), parts.next()?.into());
            Some(Self { number, kind, folder, passed: AtomicUsize::new(0) })
        }

        pub(super) fn pass(&self, name: impl FnOnce() -> String) -> io::Result<()> {
            let number = self.passed.fetch_add(1, Ordering::Relaxed);
            if self.kind == "list" {
                let mut points = OpenOptions::new().append(true).create(true).open(self.folder.join("points"))?;
                return writeln!(points, "{}", name().replace('\n', " "));
            }
            if number != self.number {
                return Ok(());
            }
            match self.kind.as_str() {
                "kill" => kill_process(getpid(), Signal::KILL)?,
                "enospc" => return Err(Errno::NOSPC.into()),
                "eio" => return Err(Errno::IO.into()),
                _ => fs::write(self.folder.join("reached"), "")?,
            }
            loop {
                thread::sleep(Duration::from_secs(1));
            }
        }
    }
}
