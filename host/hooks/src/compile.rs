//! Compiles hooks files, usually in a separate process: a pushed file can be crafted so that compiling it takes
//! hours and all memory. The process runs within limits, and stores the compiled code in the cache.

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

use crate::allocator::{OUT_OF_MEMORY, exit_when_out_of_memory};
use crate::cache::Cache;
use crate::limits::{LimitHit, Limits};
use crate::{call, digest, read};

/// How often to check whether the compiler has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Where hooks files are compiled.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// In this process, without limits: only for trusted hooks files.
    InProcess {
        /// For how many hooks files the compiled code is kept.
        keep: usize,
    },
    /// In a program that calls [`in_process`], within the limits. Two arguments are added: the cache folder and
    /// the hooks file.
    Program {
        /// The program.
        program: PathBuf,
        /// Its first arguments.
        args: Vec<OsString>,
    },
}

impl Compiler {
    /// Compiles a hooks file, and stores the code in the cache.
    pub(crate) fn compile(&self, file: &Path, cache_dir: &Path, limits: &Limits) -> Result<()> {
        match self {
            Self::InProcess { keep } => compile(file, cache_dir, *keep),
            Self::Program { program, args } => {
                let mut command = Command::new(program);
                command.args(args).arg(cache_dir).arg(file);
                compile_in_child(command, limits)
            }
        }
    }
}

/// Compiles a hooks file, and stores the code in the cache, which keeps the code of the latest `keep` files. From
/// this call on, the process exits if it runs out of memory, provided that [`Allocator`](crate::Allocator) is its
/// allocator.
///
/// # Errors
/// When the file doesn't compile, or the cache can't be used.
pub fn in_process(file: &Path, cache_dir: &Path, keep: usize) -> Result<()> {
    exit_when_out_of_memory();
    compile(file, cache_dir, keep)
}

/// The exit status for an error of [`in_process`].
#[must_use]
pub fn exit_status(error: &anyhow::Error) -> u8 {
    let is_out_of_memory =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock);
    match error.chain().filter_map(|cause| cause.downcast_ref()).any(is_out_of_memory) {
        true => OUT_OF_MEMORY,
        false => 1,
    }
}

fn compile(file: &Path, cache_dir: &Path, keep: usize) -> Result<()> {
    let cache = Cache::open(cache_dir).with_context(|| unusable(cache_dir))?;
    let bytes = read(file)?;
    let engine = call::engine()?;
    let digest = digest(&bytes);
    // Several pushes can have the same file.
    let _lock =
        cache.lock(&digest).with_context(|| format!("cannot write to the cache folder {}", cache_dir.display()))?;
    if cache.load(&engine, &digest).is_ok() {
        return Ok(());
    }
    let component = Component::new(&engine, &bytes).map_err(anyhow::Error::from)?;
    cache
        .store(&engine, &digest, &component, keep)
        .with_context(|| format!("cannot store the compiled code in {}", cache_dir.display()))
}

fn unusable(cache_dir: &Path) -> String {
    format!("cannot use the cache folder {}: it must be yours, and writable for no one else", cache_dir.display())
}

/// Runs the compiler, within the limits.
fn compile_in_child(mut command: Command, limits: &Limits) -> Result<()> {
    let memory = limits.compile_memory as u64;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // SAFETY: between fork and exec this makes two system calls and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            setrlimit(Resource::Data, Rlimit { current: Some(memory), maximum: Some(memory) })?;
            // Without the run, the result is of no use.
            set_parent_process_death_signal(Some(Signal::KILL))?;
            Ok(())
        });
    }
    let mut child = command.spawn().context("cannot start the compiler")?;
    let stderr = child.stderr.take();
    let message = thread::spawn(move || {
        let mut message = Vec::new();
        // An error while reading only shortens the message.
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
        // A thread that fails to start because memory ran out aborts the process.
        (_, Some(signal)) => bail!(
            "the compiler was killed by signal {signal}, probably because it ran out of memory: raise \
             `hooks.compile_memory` in gatling.toml, or check with `free -h` whether the server has free memory"
        ),
        _ => {
            let message = message.trim().trim_start_matches("gatling: ");
            Err(anyhow!("{}", if message.is_empty() { "the compiler failed and printed nothing" } else { message }))
        }
    }
}

/// Waits until the process has ended; kills it when the timeout is over.
fn wait(child: &mut Child, timeout: Duration) -> Result<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for the compiler")? {
            return Ok(status);
        }
        if started.elapsed() > timeout {
            // Fails if it has just ended by itself.
            _ = child.kill();
            _ = child.wait();
            return Err(LimitHit::CompileTime(timeout).into());
        }
        thread::sleep(POLL_INTERVAL);
    }
}
