//! Compiling hooks files in a process of its own: what somebody pushed can be made so that
//! compiling it takes hours and all memory. The process ends in time, and leaves its code in the
//! cache.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use wasmtime::component::Component;

use super::cache::Cache;
use super::limits::{LimitHit, Limits};
use super::{call, digest, read};

/// How often the process is looked at.
const GLANCE: Duration = Duration::from_millis(2);

/// What a program without memory says.
const STARVED: [&str; 5] = [
    "memory allocation of",
    "out-of-memory",
    "out of memory",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
];

/// Compiles a hooks file, and puts the code into the cache, which keeps that of the latest `keep` files.
///
/// # Errors
/// When it doesn't compile, or the cache can't be used.
pub fn here(file: &Path, cache_dir: &Path, keep: usize) -> Result<()> {
    let cache = Cache::open(cache_dir).with_context(|| format!("{} cannot be used", cache_dir.display()))?;
    let bytes = read(file)?;
    let engine = call::engine()?;
    let digest = digest(&bytes);
    // Pushes that wait for one another come with the same file.
    let _turn = cache.turn(&digest).with_context(|| format!("cannot use {}", cache_dir.display()))?;
    if cache.load(&engine, &digest).is_ok() {
        return Ok(());
    }
    let component = Component::new(&engine, &bytes).map_err(anyhow::Error::from)?;
    cache
        .store(&engine, &digest, &component, keep)
        .with_context(|| format!("cannot keep the code in {}", cache_dir.display()))
}

/// Has another process do that, within the limits.
pub(super) fn apart(file: &Path, cache_dir: &Path, limits: &Limits) -> Result<()> {
    let memory = limits.compile_memory as u64;
    let mut command = Command::new(env::current_exe().context("cannot find the gatling program itself")?);
    command.arg("compile").arg("--cache").arg(cache_dir).arg("--").arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // SAFETY: between fork and exec this makes two system calls and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            setrlimit(Resource::Data, Rlimit { current: Some(memory), maximum: Some(memory) })?;
            // It is of no use to anybody when the run is gone.
            set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
    // A trace is taken with memory that there isn't.
    command.env("RUST_BACKTRACE", "0");
    let mut child = command.spawn().context("cannot start what compiles it")?;
    let words = child.stderr.take();
    let starved = Arc::new(AtomicBool::new(false));
    let starves = Arc::clone(&starved);
    let words = thread::spawn(move || {
        let mut text = String::new();
        for line in words.into_iter().flat_map(|words| BufReader::new(words).lines()).map_while(Result::ok) {
            if STARVED.iter().any(|words| line.contains(words)) {
                starves.store(true, Ordering::Relaxed);
            }
            text.push_str(&line);
            text.push('\n');
        }
        text
    });
    let outcome = wait(&mut child, limits.compile_timeout, &starved);
    let words = words.join().unwrap_or_default();
    if starved.load(Ordering::Relaxed) {
        return Err(LimitHit::CompileMemory(limits.compile_memory).into());
    }
    if outcome? {
        return Ok(());
    }
    let words = words.trim().trim_start_matches("gatling: ");
    Err(anyhow!("{}", if words.is_empty() { "what compiles it ended without a word" } else { words }))
}

/// Waits until the process has ended, and tells whether it did so well.
fn wait(child: &mut Child, timeout: Duration, starved: &AtomicBool) -> Result<bool> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for what compiles it")? {
            return match status.signal() {
                Some(signal) if signal != Signal::ABORT.as_raw() => {
                    bail!(
                        "the compiler was ended by signal {signal}, probably because memory ran out: raise `hooks.compile_memory` in \
                         gatling.toml, or see whether the server has any left with `free -h`"
                    )
                }
                _ => Ok(status.success()),
            };
        }
        let late = begun.elapsed() > timeout;
        // Without memory a program can hang over saying so.
        if late || starved.load(Ordering::Relaxed) {
            // It may have ended by itself just now.
            _ = child.kill();
            _ = child.wait();
            return if late { Err(LimitHit::CompileTime(timeout).into()) } else { Ok(false) };
        }
        thread::sleep(GLANCE);
    }
}
