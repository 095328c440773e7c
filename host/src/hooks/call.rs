//! Calling a hook: a store and an instance of its own for every call, and an end to it in time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::runtime::Runtime;
use wasmtime::component::{HasSelf, InstancePre, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store, WasmBacktrace};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::contract::{EnvRecord, Imports, deployment, log, process, types, variables};
use super::limits::{HookLog, LimitHit, Limits, Meter};
use super::output::Lines;
use super::program;
use super::{Call, cache};
use crate::command::{Command, CommandError, Environment};
use crate::env::Env;
use crate::grants::Grants;

/// How often a running hook is interrupted to see whether its time is up.
const TICK: Duration = Duration::from_millis(20);
/// How much a hook can hand to Gatling in one go, in bytes.
const LARGEST_HANDOVER: usize = 64 * 1024 * 1024;
/// How many things of WASI (streams, files, clocks' alarms) a hook can hold at once.
const MOST_HANDLES: usize = 256;

/// A compiled component, ready to be instantiated.
pub(super) struct Component {
    engine: Engine,
    ready: InstancePre<State>,
    grants: Grants,
    limits: Limits,
    runtime: Runtime,
    _ticker: Ticker,
}

/// What a call of a hook can reach.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    deployment: Call,
    grants: Grants,
    project: String,
    build_dir: PathBuf,
    /// The project's `.env`.
    variables: Vec<(String, String)>,
    log: HookLog,
    limits: Limits,
    meter: Meter,
}

/// Counts the engine's epochs up as long as it lives, so that a hook that only computes can be
/// interrupted.
struct Ticker {
    ended: Arc<AtomicBool>,
}

impl Ticker {
    fn start(engine: &Engine) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (engine, end) = (engine.weak(), Arc::clone(&ended));
        thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                thread::sleep(TICK);
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        });
        Self { ended }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Component {
    pub(super) fn load(
        bytes: &[u8],
        cache_dir: &Path,
        grants: Grants,
        limits: Limits,
        file: &str,
        log: &crate::run::log::RunLog,
    ) -> Result<Self> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).map_err(anyhow::Error::from)?;
        let component = cache::component(&engine, bytes, cache_dir, file, log).map_err(anyhow::Error::from)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(anyhow::Error::from)?;
        Imports::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).map_err(anyhow::Error::from)?;
        let ready = linker.instantiate_pre(&component).map_err(anyhow::Error::from)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.context("cannot start what runs hooks")?;
        let ticker = Ticker::start(&engine);
        Ok(Self { engine, ready, grants, limits, runtime, _ticker: ticker })
    }

    /// Calls a hook; `fallible` says whether it returns a result.
    pub(super) fn call(&self, call: &Call, env: &Env, fallible: bool) -> Result<()> {
        let log = HookLog::new(call.log.clone(), &self.limits);
        let stdout = Lines::new(log.clone());
        let stderr = Lines::new(log.clone());
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_HANDLES);
        let state = State {
            wasi: WasiCtxBuilder::new().stdout(stdout.clone()).stderr(stderr.clone()).build(),
            table,
            deployment: Call {
                hook: call.hook,
                run_id: call.run_id.clone(),
                attempt: call.attempt,
                started_at: call.started_at,
                log: call.log.clone(),
            },
            grants: self.grants.clone(),
            project: env.project.clone(),
            build_dir: env.build_dir.clone(),
            variables: env.variables.clone(),
            log,
            limits: self.limits,
            meter: Meter::new(self.limits),
        };
        let outcome = self.runtime.block_on(async {
            let export = call.hook.export();
            let record = EnvRecord::from(env);
            let invoked = self.invoke(state, &export, &record, fallible);
            // When the time is up the call is dropped as it stands, and what it waits for with it.
            match tokio::time::timeout(self.limits.timeout, invoked).await {
                Ok(outcome) => outcome,
                Err(_) => Err(LimitHit::Time(self.limits.timeout).into()),
            }
        });
        stdout.finish();
        let last_lines = stderr.finish();
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(text)) => bail!("it returned an error: {}", shortened(&text, self.limits.error)),
            Err(error) => match error.downcast_ref::<LimitHit>() {
                Some(hit) => Err(hit.clone().into()),
                None => Err(trap(&error, &last_lines)),
            },
        }
    }

    async fn invoke(
        &self,
        state: State,
        export: &str,
        env: &EnvRecord,
        fallible: bool,
    ) -> wasmtime::Result<Result<(), String>> {
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(LARGEST_HANDOVER);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = self.ready.instantiate_async(&mut store).await?;
        if fallible {
            let hook = instance.get_typed_func::<(&EnvRecord,), (Result<(), String>,)>(&mut store, export)?;
            Ok(hook.call_async(&mut store, (env,)).await?.0)
        } else {
            let hook = instance.get_typed_func::<(&EnvRecord,), ()>(&mut store, export)?;
            hook.call_async(&mut store, (env,)).await?;
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

fn shortened(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(longest);
    format!("{}… (cut here: it has {} bytes)", &text[..end], text.len())
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl types::Host for State {}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        match level {
            log::Level::Debug => self.log.debug(&message)?,
            log::Level::Info => self.log.output(&message)?,
            log::Level::Warn => self.log.output(&format!("warning: {message}"))?,
            log::Level::Error => self.log.output(&format!("error: {message}"))?,
        }
        Ok(())
    }
}

impl variables::Host for State {
    fn get(&mut self, name: String) -> wasmtime::Result<Result<String, variables::Error>> {
        if let Err(message) = self.grants.may_know(&name) {
            self.log.note(&format!("denied: {message}"));
            return Ok(Err(variables::Error::Denied(message)));
        }
        self.log.debug(&format!("it got the variable {name}"))?;
        let value = self.variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        Ok(value.ok_or_else(|| {
            variables::Error::NotSet(format!(
                "{name} is not set: set it with `gatling config set {} {name}=...`",
                self.project
            ))
        }))
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
    async fn run(
        &mut self,
        name: String,
        args: Vec<String>,
        options: process::Options,
    ) -> wasmtime::Result<Result<process::Output, process::Error>> {
        let dir = options.cd.as_deref().map_or_else(|| self.build_dir.clone(), |cd| self.build_dir.join(cd));
        let mut command = Command::new(&name, args, &dir)
            .with_env(options.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        command.environment = Environment::Only(&["PATH", "HOME", "LANG"]);
        let place = if dir == self.build_dir { String::new() } else { format!("  (in {})", dir.display()) };
        self.log.output(&format!("$ {command}{place}"))?;
        if let Err(message) = self.grants.may_run(&name, &command.args) {
            self.log.note(&format!("denied: {message}"));
            return Ok(Err(process::Error::Denied(message)));
        }
        if name.contains('/') {
            // What is granted is a program of the project, wherever the hook has it run.
            command.program = self.build_dir.join(&name).display().to_string();
        }
        if let Some(unfit) = program::unfit(&command) {
            return Ok(Err(process::Error::Failed(unfit)));
        }
        match program::run(command, self.log.clone(), self.limits.output).await? {
            Ok((status, output)) => Ok(Ok(process::Output { status, output })),
            Err(error @ (CommandError::NotFound { .. } | CommandError::NoDir { .. })) => {
                Ok(Err(process::Error::NotFound(error.to_string())))
            }
            Err(error) => Ok(Err(process::Error::Failed(format!("{:#}", anyhow!(error))))),
        }
    }
}
