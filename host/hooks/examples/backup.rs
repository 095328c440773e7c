//! A backup program that calls hooks before and after its own steps. Its hooks are the exports of a component,
//! such as `before-dump` or `after-upload`. To try it:
//! `cargo run -p gatling-hook-host --example backup -- backup.wasm`

use std::env;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use gatling_hook_host::compile::Compiler;
use gatling_hook_host::grants::Grants;
use gatling_hook_host::{Call, EnvRecord, Hook, HookInput, HookPoint, Hooks, HooksFile, Limits, Name, Sink};

const BACKUP: Name = Name::literal("backup");
const STEPS: [Name; 2] = [Name::literal("dump"), Name::literal("upload")];

fn main() -> Result<()> {
    let file = HooksFile {
        path: env::args().nth(1).context("usage: backup HOOKS.wasm")?.into(),
        pipeline: BACKUP,
        known: Hook::of_pipeline(&BACKUP, STEPS).collect(),
        grants: Grants::default(),
        limits: Limits::default(),
        cache_dir: env::temp_dir().join("backup-hooks"),
        compiler: Compiler::InProcess { keep: 10 },
    };
    let env = EnvRecord { project: "photos".to_owned(), task: BACKUP.to_string(), ..EnvRecord::default() };
    let input = HookInput { env, variables: Default::default(), set_command: "export".to_owned() };
    let hooks = Hooks::load(file.prepare(), input)?;
    let events = Sink::new(|event| println!("    {event:?}"));
    let call = |point| {
        hooks.call(&Call {
            hook: Hook { pipeline: BACKUP, point },
            run_id: "1".to_owned(),
            attempt: 1,
            started_at: SystemTime::now(),
            events: events.clone(),
            failure: None,
            stop: Arc::default(),
        })
    };
    for step in STEPS {
        call(HookPoint::Before(step.clone()))?;
        println!("{step}");
        call(HookPoint::After(step))?;
    }
    Ok(())
}
