//! Calling a hook: a store and an instance of its own for every call.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use wasmtime::component::{HasSelf, InstancePre, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store, WasmBacktrace};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::contract::{EnvRecord, Imports, deployment, log, process, types};
use super::grants::Grants;
use super::output::Lines;
use super::{Call, cache};
use crate::command::{self, Command, CommandError, Environment};
use crate::env::Env;

/// The longest error text of a hook that is passed on, in characters.
const LONGEST_ERROR: usize = 8 * 1024;
/// How much of what a program writes is returned to the hook, in bytes. The log has all of it.
const MOST_OUTPUT: usize = 4 * 1024 * 1024;

/// A compiled component, ready to be instantiated.
pub(super) struct Component {
    engine: Engine,
    ready: InstancePre<State>,
    grants: Grants,
}

/// What a call of a hook can reach.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    deployment: Call,
    grants: Grants,
    build_dir: PathBuf,
}

impl Component {
    pub(super) fn load(
        bytes: &[u8],
        cache_dir: &Path,
        grants: Grants,
        file: &str,
        log: &crate::run::log::RunLog,
    ) -> Result<Self> {
        let engine = Engine::new(&Config::new()).map_err(anyhow::Error::from)?;
        let component = cache::component(&engine, bytes, cache_dir, file, log).map_err(anyhow::Error::from)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).map_err(anyhow::Error::from)?;
        Imports::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).map_err(anyhow::Error::from)?;
        let ready = linker.instantiate_pre(&component).map_err(anyhow::Error::from)?;
        Ok(Self { engine, ready, grants })
    }

    /// Calls a hook; `fallible` says whether it returns a result.
    pub(super) fn call(&self, call: &Call, env: &Env, fallible: bool) -> Result<()> {
        let stdout = Lines::new(call.log.clone());
        let stderr = Lines::new(call.log.clone());
        let state = State {
            wasi: WasiCtxBuilder::new().stdout(stdout.clone()).stderr(stderr.clone()).build(),
            table: ResourceTable::new(),
            deployment: Call {
                hook: call.hook,
                run_id: call.run_id.clone(),
                attempt: call.attempt,
                started_at: call.started_at,
                log: call.log.clone(),
            },
            grants: self.grants.clone(),
            build_dir: env.build_dir.clone(),
        };
        let outcome = self.invoke(state, &call.hook.export(), &EnvRecord::from(env), fallible);
        stdout.finish();
        let last_lines = stderr.finish();
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(text)) => bail!("it returned an error: {}", shortened(&text)),
            Err(error) => Err(trap(&error, &last_lines)),
        }
    }

    fn invoke(
        &self,
        state: State,
        export: &str,
        env: &EnvRecord,
        fallible: bool,
    ) -> wasmtime::Result<Result<(), String>> {
        let mut store = Store::new(&self.engine, state);
        let instance = self.ready.instantiate(&mut store)?;
        if fallible {
            let hook = instance.get_typed_func::<(&EnvRecord,), (Result<(), String>,)>(&mut store, export)?;
            Ok(hook.call(&mut store, (env,))?.0)
        } else {
            let hook = instance.get_typed_func::<(&EnvRecord,), ()>(&mut store, export)?;
            hook.call(&mut store, (env,))?;
            Ok(Ok(()))
        }
    }
}

/// A trap with all that helps its author: why, what the guest wrote last, and where it was.
fn trap(error: &wasmtime::Error, last_lines: &[String]) -> anyhow::Error {
    let mut text = format!("it trapped: {}", error.root_cause());
    if !last_lines.is_empty() {
        text.push_str(&format!("\nIt wrote last:\n    {}", last_lines.join("\n    ")));
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>().filter(|backtrace| !backtrace.frames().is_empty()) {
        text.push_str("\nIt was in, innermost first:");
        for (number, frame) in backtrace.frames().iter().enumerate() {
            let name = frame.func_name().map_or_else(|| format!("function {}", frame.func_index()), demangled);
            text.push_str(&format!("\n    {number:>3}: {name}"));
        }
    }
    anyhow!(text)
}

fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST_ERROR) {
        Some((end, _)) => format!("{}… (cut here: it has {} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for State {}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String) {
        let log = &self.deployment.log;
        match level {
            log::Level::Debug => log.debug(&message),
            log::Level::Info => log.output(&message),
            log::Level::Warn => log.output(&format!("warning: {message}")),
            log::Level::Error => log.output(&format!("error: {message}")),
        }
    }
}

impl deployment::Host for State {
    fn run_id(&mut self) -> String {
        self.deployment.run_id.clone()
    }

    fn step(&mut self) -> String {
        self.deployment.hook.step.to_owned()
    }

    fn phase(&mut self) -> deployment::HookPhase {
        self.deployment.hook.phase.into()
    }

    fn attempt(&mut self) -> u32 {
        self.deployment.attempt
    }

    fn started_at(&mut self) -> u64 {
        u64::try_from(self.deployment.started_at.as_millisecond()).unwrap_or_default()
    }

    fn failed(&mut self) -> Option<deployment::Failure> {
        // Hooks are called before and after steps; none is called because something failed.
        None
    }
}

impl process::Host for State {
    fn run(
        &mut self,
        program: String,
        args: Vec<String>,
        options: process::Options,
    ) -> Result<process::Output, process::Error> {
        let dir = options.cd.as_deref().map_or_else(|| self.build_dir.clone(), |cd| self.build_dir.join(cd));
        let mut command = Command::new(&program, args, &dir)
            .with_env(options.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        command.environment = Environment::Only(&["PATH", "HOME", "LANG"]);
        let log = &self.deployment.log;
        let place = if dir == self.build_dir { String::new() } else { format!("  (in {})", dir.display()) };
        log.output(&format!("$ {command}{place}"));
        if let Err(message) = self.grants.may_run(&program) {
            log.output(&format!("denied: {message}"));
            return Err(process::Error::Denied(message));
        }
        if let Some(unfit) = unfit(&command) {
            return Err(process::Error::Failed(unfit));
        }
        let mut output = String::new();
        let status = command.stream(|line| {
            log.output(line);
            if output.len() + line.len() < MOST_OUTPUT {
                output.push_str(line);
                output.push('\n');
            }
        });
        match status {
            Ok(status) => Ok(process::Output { status: command::code(status), output }),
            Err(error @ (CommandError::NotFound { .. } | CommandError::NoDir { .. })) => {
                Err(process::Error::NotFound(error.to_string()))
            }
            Err(error) => Err(process::Error::Failed(format!("{:#}", anyhow!(error)))),
        }
    }
}

/// What the system can't take: NUL bytes, and variables without a name.
fn unfit(command: &Command) -> Option<String> {
    let texts = command.args.iter().chain(command.env.iter().flat_map(|(name, value)| [name, value]));
    if texts.into_iter().any(|text| text.contains('\0')) || command.program.contains('\0') {
        return Some(format!("cannot run {:?}: its arguments or variables have a NUL byte", command.program));
    }
    let name = command.env.iter().map(|(name, _)| name).find(|name| name.is_empty() || name.contains('='))?;
    Some(format!("cannot run {:?}: {name:?} is no name of a variable", command.program))
}
