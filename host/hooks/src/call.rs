//! Calling a hook: a store and an instance of its own for every call, and an end to it in time.

mod imports;

use std::path::PathBuf;
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

/// How often a running hook is interrupted to see whether its time is up.
const TICK: Duration = Duration::from_millis(20);
/// How much a hook can hand to Gatling in one go, in bytes.
const LARGEST_HANDOVER: usize = 64 * 1024 * 1024;
/// How much of a function's name is shown, in bytes: Rust's are long.
const LONGEST_NAME: usize = 1000;
/// How many things of WASI (streams, files, clocks' alarms) a hook can hold at once.
const MOST_HANDLES: usize = 256;

/// A compiled component with all that it imports, ready to be instantiated.
pub(crate) struct Linked {
    engine: Engine,
    ready: InstancePre<State>,
    /// Whether it can look at its environment.
    has_environment: bool,
}

/// Calls hooks of one component.
pub(crate) struct Caller {
    linked: Linked,
    grants: Grants,
    limits: Limits,
    effects: Effects,
    /// Ends without waiting for what a hook has left under way.
    runtime: Option<Runtime>,
    _ticker: Ticker,
}

/// What a call of a hook can reach.
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
        let has_environment = imports("wasi:cli/environment");
        let link = |linker: &mut Linker<State>| {
            wasmtime_wasi::p2::add_to_linker_async(linker)?;
            // These take the place of WASI's own, which know no grants.
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
        Ok(Self { engine, ready, has_environment })
    }
}

impl Caller {
    pub(crate) fn new(linked: Linked, grants: Grants, limits: Limits, effects: Effects) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = Some(runtime.context("cannot start what runs hooks")?);
        let ticker = Ticker::start(&linked.engine);
        Ok(Self { linked, grants, limits, effects, runtime, _ticker: ticker })
    }

    /// Whether a hook has run a program, changed a file or sent a request, or may have.
    pub(crate) fn has_acted(&self) -> bool {
        self.effects.were_done()
    }

    /// What was only listed.
    pub(crate) fn planned(&self) -> Vec<PlannedEffect> {
        self.effects.planned()
    }

    /// Calls a hook; `fallible` says whether it returns a result.
    pub(crate) fn call(&self, call: &Call, input: &HookInput, fallible: bool) -> Result<()> {
        self.call_timed(call, input, fallible, &mut Duration::default())
    }

    /// As [`Caller::call`]; tells as well how long it took to make the instance.
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
            let invoked = self.invoke(state, call, &input.env, fallible, instantiated);
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
            Ok(Err(text)) if text.is_empty() => bail!("it returned an error, and no text with it"),
            Ok(Err(text)) => bail!("it returned an error: {}", quoted(&text, self.limits.error)),
            Err(error) => match limit(&error) {
                Some(hit) => Err(hit.into()),
                None => Err(trap(&error, &last_lines, self.limits.error)),
            },
        }
    }

    fn state(&self, call: &Call, input: &HookInput, log: HookLog, stdout: &Lines, stderr: &Lines) -> State {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_HANDLES);
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(stdout.clone()).stderr(stderr.clone());
        let known = self.grants.variables().filter_map(|name| Some((name, input.variable(name)?)));
        let known: Vec<_> = known.collect();
        wasi.envs(&known);
        if self.linked.has_environment && !known.is_empty() {
            let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            // Where there is no room for it, there is none for what the hook says either.
            _ = log.used("env", &format!("has in its environment: {}", names.join(", ")));
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
        let begun = Instant::now();
        let mut store = Store::new(&self.linked.engine, state);
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(LARGEST_HANDOVER);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let instance = self.linked.ready.instantiate_async(&mut store).await?;
        *instantiated = begun.elapsed();
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
        return Some(LimitHit::Handles(MOST_HANDLES));
    }
    error.downcast_ref::<LimitHit>().cloned()
}

/// A trap with all that helps its author: why, what the guest wrote last, and where it was; of
/// each of these as much as fits into `longest` bytes.
fn trap(error: &wasmtime::Error, last_lines: &[String], longest: usize) -> anyhow::Error {
    let mut text = match error.downcast_ref::<I32Exit>() {
        Some(I32Exit(status)) => format!("it called exit, with the status {status}, where it should have returned"),
        None => format!("it trapped: {}", error.root_cause()),
    };
    if !last_lines.is_empty() {
        text.push_str(&format!("\nIt wrote last:\n    {}", quoted(&last_lines.join("\n"), longest)));
    }
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>().filter(|backtrace| !backtrace.frames().is_empty()) {
        let mut frames = String::new();
        for (number, frame) in backtrace.frames().iter().enumerate() {
            let name = frame.func_name().map_or_else(|| format!("function {}", frame.func_index()), demangled);
            frames.push_str(&format!("\n    {number:>3}: {}", name.replace('\n', " ")));
        }
        text.push_str(&format!("\nIt was in, innermost first:{}", shortened(&frames, longest)));
    }
    anyhow!("{}", escape(&text))
}

/// A hook's own words: no more than so many bytes, and further lines stand where none of Gatling's do.
fn quoted(text: &str, longest: usize) -> String {
    escape(&shortened(text, longest)).replace('\n', "\n    ")
}

fn demangled(name: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(&name[..name.floor_char_boundary(LONGEST_NAME)]));
    name[..name.floor_char_boundary(LONGEST_NAME)].to_owned()
}

fn shortened(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(longest);
    format!("{}… (cut here: it has {} bytes)", &text[..end], text.len())
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
