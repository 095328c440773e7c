//! Calls hooks. Each call gets a new store and a new instance, and ends within its time limit.

mod imports;

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::runtime::Runtime;
use wasmtime::component::{
    Component, ComponentNamedList, HasSelf, Instance, InstancePre, Linker, Lower, ResourceTable, ResourceTableError,
};
use wasmtime::{Config, Engine, Store, WasmBacktrace};
use wasmtime_wasi::filesystem::WasiFilesystemCtxView;
use wasmtime_wasi::p2::bindings::filesystem;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::contract::{EnvRecord, FailureRecord, Imports};
use crate::effects::{Effects, PlannedEffect};
use crate::files::{Files, FilesView, HasFiles};
use crate::limits::{HookLog, LimitHit, Limits, Meter};
use crate::output::Lines;
use crate::requests::Requests;
use crate::{Call, HookInput};
use gatling_grants::Grants;
use gatling_process::Variables;
use gatling_text::escape;

/// How often a running hook is interrupted to check its time limit.
const TICK: Duration = Duration::from_millis(20);
/// How often to check whether a call must end.
const STOP_INTERVAL: Duration = Duration::from_millis(50);
/// How much data a hook can pass to Gatling in one call of an import, in bytes.
const MAX_CALL_DATA: usize = 64 * 1024 * 1024;
/// How much of a function's name a backtrace shows, in bytes: Rust's names are long.
const MAX_FUNCTION_NAME: usize = 1000;
/// How many WASI handles (files, streams, timers) a hook can have open at once.
const MAX_HANDLES: usize = 256;

/// A compiled component with its imports linked, ready to be instantiated.
pub(crate) struct Linked {
    engine: Engine,
    ready: InstancePre<State>,
    /// Whether it imports its environment variables.
    imports_environment: bool,
}

/// Calls hooks of one component.
pub(crate) struct Caller {
    linked: Linked,
    grants: Grants,
    limits: Limits,
    effects: Effects,
    /// Shut down without waiting for tasks that a hook has left behind.
    runtime: Option<Runtime>,
    _ticker: Ticker,
}

/// The state of one call of a hook.
pub(crate) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    files: Files,
    requests: Requests,
    deployment: Call,
    grants: Grants,
    effects: Effects,
    build_dir: PathBuf,
    /// The variables that hooks can be granted.
    variables: Variables,
    set_command: String,
    log: HookLog,
    limits: Limits,
    meter: Meter,
}

/// Increments the engine's epoch until it is dropped, so that a hook that only computes can be interrupted.
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

/// The engine that compiles and runs all hooks.
pub(crate) fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    Engine::new(&config).map_err(anyhow::Error::from)
}

impl Linked {
    pub(crate) fn new(engine: Engine, component: &Component) -> Result<Self> {
        let mut linker = Linker::new(&engine);
        let imports =
            |prefix: &str| component.component_type().imports(&engine).any(|(name, _)| name.starts_with(prefix));
        let imports_environment = imports("wasi:cli/environment");
        let link = |linker: &mut Linker<State>| {
            wasmtime_wasi::p2::add_to_linker_async(linker)?;
            // These replace WASI's own implementations, which don't check grants.
            linker.allow_shadowing(true);
            filesystem::types::add_to_linker::<State, HasFiles>(linker, State::files)?;
            filesystem::preopens::add_to_linker::<State, HasFiles>(linker, State::files)?;
            if imports("wasi:http/") {
                wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
            }
            Imports::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
        };
        link(&mut linker).map_err(anyhow::Error::from)?;
        let ready = linker.instantiate_pre(component).map_err(anyhow::Error::from)?;
        Ok(Self { engine, ready, imports_environment })
    }
}

impl Caller {
    pub(crate) fn new(linked: Linked, grants: Grants, limits: Limits, effects: Effects) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = Some(runtime.context("cannot start the runtime for hooks")?);
        let ticker = Ticker::start(&linked.engine);
        Ok(Self { linked, grants, limits, effects, runtime, _ticker: ticker })
    }

    /// Whether a hook has, or may have, run a program, changed a file or sent a request.
    pub(crate) fn has_acted(&self) -> bool {
        self.effects.any_done()
    }

    /// The effects of a dry run.
    pub(crate) fn planned(&self) -> Vec<PlannedEffect> {
        self.effects.planned()
    }

    /// Calls a hook. `fallible` says whether it returns a result.
    pub(crate) fn call(&self, call: &Call, input: &HookInput, fallible: bool) -> Result<()> {
        self.call_timed(call, input, fallible, &mut Duration::default())
    }

    /// As [`Caller::call`]; also stores the time that creating the instance took.
    pub(crate) fn call_timed(
        &self,
        call: &Call,
        input: &HookInput,
        fallible: bool,
        instantiated: &mut Duration,
    ) -> Result<()> {
        let log = HookLog::new(call.events.clone(), &self.limits);
        let stdout = Lines::new(log.clone());
        let stderr = Lines::new(log.clone());
        let state = self.state(call, input, log, &stdout, &stderr);
        let outcome = self.runtime.as_ref().context("the runtime is there until the end")?.block_on(async {
            let mut invoked = pin!(self.invoke(state, call, &input.env, fallible, instantiated));
            let deadline = Instant::now() + self.limits.timeout;
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                match tokio::time::timeout(left.min(STOP_INTERVAL), invoked.as_mut()).await {
                    Ok(outcome) => break outcome,
                    // The call is dropped, with everything that it waits for.
                    Err(_) if call.stop.load(Ordering::Relaxed) => break Err(wasmtime::Error::msg("it was stopped")),
                    Err(_) if left.is_zero() => break Err(LimitHit::Time(self.limits.timeout).into()),
                    Err(_) => {}
                }
            }
        });
        stdout.finish();
        let last_lines = stderr.finish();
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(text)) if text.is_empty() => bail!("it returned an error without a message"),
            Ok(Err(text)) => bail!("it returned an error: {}", indented(&text, self.limits.error)),
            Err(error) => match limit(&error) {
                Some(hit) => Err(hit.into()),
                None => Err(trap(&error, &last_lines, self.limits.error)),
            },
        }
    }

    fn state(&self, call: &Call, input: &HookInput, log: HookLog, stdout: &Lines, stderr: &Lines) -> State {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(stdout.clone()).stderr(stderr.clone());
        let variables = self.grants.variables().filter_map(|name| Some((name, input.variable(name)?)));
        let variables: Vec<_> = variables.collect();
        wasi.envs(&variables);
        if self.linked.imports_environment && !variables.is_empty() {
            let names: Vec<_> = variables.iter().map(|(name, _)| *name).collect();
            // If this exceeds the log limit, the next message of the hook will too.
            _ = log.used("env", &format!("gets the environment variables {}", names.join(", ")));
        }
        let (grants, effects) = (self.grants.clone(), self.effects.clone());
        let build_dir = PathBuf::from(&input.env.build_dir);
        State {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            table,
            files: Files::new(grants.clone(), &build_dir, input.env.deploy_dir.as_ref(), log.clone(), effects.clone()),
            requests: Requests { grants: grants.clone(), log: log.clone(), effects: effects.clone() },
            deployment: call.clone(),
            grants,
            effects,
            build_dir,
            variables: input.variables.clone(),
            set_command: input.set_command.clone(),
            log,
            limits: self.limits,
            meter: Meter::new(self.limits),
        }
    }

    async fn invoke(
        &self,
        state: State,
        call: &Call,
        env: &EnvRecord,
        fallible: bool,
        instantiated: &mut Duration,
    ) -> wasmtime::Result<Result<(), String>> {
        let started = Instant::now();
        let mut store = Store::new(&self.linked.engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(MAX_CALL_DATA);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = self.linked.ready.instantiate_async(&mut store).await?;
        *instantiated = started.elapsed();
        let export = call.hook.export();
        match &call.failure {
            Some(failure) => {
                call_export::<(&EnvRecord, &FailureRecord)>(instance, store, &export, fallible, (env, failure)).await
            }
            None => call_export::<(&EnvRecord,)>(instance, store, &export, fallible, (env,)).await,
        }
    }
}

async fn call_export<P: ComponentNamedList + Lower + Send + Sync>(
    instance: Instance,
    mut store: Store<State>,
    export: &str,
    fallible: bool,
    parameters: P,
) -> wasmtime::Result<Result<(), String>> {
    if fallible {
        let hook = instance.get_typed_func::<P, (Result<(), String>,)>(&mut store, export)?;
        Ok(hook.call_async(&mut store, parameters).await?.0)
    } else {
        let hook = instance.get_typed_func::<P, ()>(&mut store, export)?;
        hook.call_async(&mut store, parameters).await?;
        Ok(Ok(()))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The limit that ended a call, if one did.
fn limit(error: &wasmtime::Error) -> Option<LimitHit> {
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return Some(LimitHit::Handles(MAX_HANDLES));
    }
    error.downcast_ref::<LimitHit>().cloned()
}

/// The error for a trap, with what the hook's author needs: the cause, the last lines of the hook's output, and
/// the backtrace, each truncated to `max` bytes.
fn trap(error: &wasmtime::Error, last_lines: &[String], max: usize) -> anyhow::Error {
    let mut text = match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(status)) => format!("it called exit with status {status} instead of returning"),
        None => format!("it trapped: {}", error.root_cause()),
    };
    if !last_lines.is_empty() {
        text.push_str(&format!("\nIts last lines on standard error:\n    {}", indented(&last_lines.join("\n"), max)));
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>().filter(|backtrace| !backtrace.frames().is_empty()) {
        let mut frames = String::new();
        for (number, frame) in backtrace.frames().iter().enumerate() {
            let name = frame.func_name().map_or_else(|| format!("function {}", frame.func_index()), demangled);
            frames.push_str(&format!("\n    {number:>3}: {}", name.replace('\n', " ")));
        }
        text.push_str(&format!("\nBacktrace, innermost function first:{}", truncated(&frames, max)));
    }
    anyhow!("{}", escape(&text))
}

/// Text from a hook: truncated, and with further lines indented, so that they can't look like Gatling's own.
fn indented(text: &str, max: usize) -> String {
    escape(&truncated(text, max)).replace('\n', "\n    ")
}

fn demangled(name: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(&name[..name.floor_char_boundary(MAX_FUNCTION_NAME)]));
    name[..name.floor_char_boundary(MAX_FUNCTION_NAME)].to_owned()
}

fn truncated(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max);
    format!("{}… (truncated: {} bytes in total)", &text[..end], text.len())
}

impl State {
    fn files(&mut self) -> FilesView<'_> {
        let wasi = WasiFilesystemCtxView { ctx: self.wasi.filesystem(), table: &mut self.table };
        FilesView { wasi, files: &mut self.files }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.requests }
    }
}
