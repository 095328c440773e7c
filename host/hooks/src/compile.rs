//! Compiling hooks files, usually in a process of its own: what somebody pushed can be made so that compiling it
//! takes hours and all memory. The process ends in time, and leaves its code in the cache.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use wasmtime::component::Component;

use crate::allocator::{OUT_OF_MEMORY, end_without_memory};
use crate::cache::Cache;
use crate::limits::{LimitHit, Limits};
use crate::{call, digest, read};

/// How often the process is looked at.
const GLANCE: Duration = Duration::from_millis(2);

/// What compiles hooks files.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// This process, without limits: for hooks files that are trusted.
    Here {
        /// Of how many hooks files the compiled code is kept.
        keep: usize,
    },
    /// A program that calls [`here`], within the limits. It gets two more arguments: the cache's folder and the
    /// hooks file.
    Program {
        /// The program.
        program: PathBuf,
        /// Its first arguments.
        args: Vec<OsString>,
    },
}

impl Compiler {
    /// Compiles a hooks file, and puts the code into the cache.
    pub(crate) fn compile(&self, file: &Path, cache_dir: &Path, limits: &Limits) -> Result<()> {
        match self {
            Self::Here { keep } => compile(file, cache_dir, *keep),
            Self::Program { program, args } => {
                let mut command = Command::new(program);
                command.args(args).arg(cache_dir).arg(file);
                apart(command, limits)
            }
        }
    }
}

/// Compiles a hooks file, and puts the code into the cache, which keeps that of the latest `keep` files. It is the
/// last thing that a process does: one that runs out of memory ends, if [`Allocator`](crate::Allocator) is its
/// allocator.
///
/// # Errors
/// When it doesn't compile, or the cache can't be used.
pub fn here(file: &Path, cache_dir: &Path, keep: usize) -> Result<()> {
    end_without_memory();
    compile(file, cache_dir, keep)
}

/// The exit status of a process for which [`here`] failed.
#[must_use]
pub fn exit_status(error: &anyhow::Error) -> u8 {
    let is_lack = |error: &io::Error| matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock);
    match error.chain().filter_map(|cause| cause.downcast_ref()).any(is_lack) {
        true => OUT_OF_MEMORY,
        false => 1,
    }
}

fn compile(file: &Path, cache_dir: &Path, keep: usize) -> Result<()> {
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

/// Runs a process that compiles a hooks file, within the limits.
fn apart(mut command: Command, limits: &Limits) -> Result<()> {
    let memory = limits.compile_memory as u64;
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
    let mut child = command.spawn().context("cannot start the compiler")?;
    let stderr = child.stderr.take();
    let message = thread::spawn(move || {
        let mut message = Vec::new();
        // What can't be read isn't shown.
        _ = stderr.map(|mut stderr| stderr.read_to_end(&mut message));
        String::from_utf8_lossy(&message).into_owned()
    });
    let status = wait(&mut child, limits.compile_timeout);
    let message = message.join().unwrap_or_default();
    let status = status?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(status), _) if status == i32::from(OUT_OF_MEMORY) => {
            Err(LimitHit::CompileMemory(limits.compile_memory).into())
        }
        // A thread that gets no memory ends the process like this, where the operating system refused it.
        (_, Some(signal)) => bail!(
            "the compiler was ended by signal {signal}, probably because memory ran out: raise `hooks.compile_memory` in \
             gatling.toml, or see whether the server has any left with `free -h`"
        ),
        _ => {
            let message = message.trim().trim_start_matches("gatling: ");
            Err(anyhow!("{}", if message.is_empty() { "the compiler failed and printed nothing" } else { message }))
        }
    }
}

/// Waits until the process has ended; kills it when its time is up.
fn wait(child: &mut Child, timeout: Duration) -> Result<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the compiler")? {
            return Ok(status);
        }
        if begun.elapsed() > timeout {
            // It may have ended by itself just now.
            _ = child.kill();
            _ = child.wait();
            return Err(LimitHit::CompileTime(timeout).into());
        }
        thread::sleep(GLANCE);
    }
}
