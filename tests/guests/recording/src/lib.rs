//! Hooks that log their calls and their env records.

mod json;

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use gatling_hooks::{Env, deployment, info};

/// How many hooks were called in this instance of the component.
static CALLS: AtomicU32 = AtomicU32::new(0);

/// Logs three lines: `recorded HOOK ENV`, where ENV is a JSON object on one line;
/// `calls in this instance: N`; and `called PHASE STEP, attempt N`.
///
/// Then it changes its env record, which must not affect other hooks.
pub fn record(hook: &str, env: &Env) {
    info!("recorded {hook} {}", json::object(env));
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    info!("calls in this instance: {calls}");
    info!("called {} {}, attempt {}", deployment::phase(), deployment::step(), deployment::attempt());
    tamper(env.clone());
}

fn tamper(mut env: Env) {
    env.project = "tampered".into();
    env.version = "6.6.6".into();
    env.available_port = 1;
    env.domains.clear();
    black_box(env);
}

/// A hooks file that records each of these hooks.
#[macro_export]
macro_rules! record {
    ($($hook:ident)*) => {
        #[gatling_hooks::hooks]
        mod hooks {
            $(pub fn $hook(env: &Env) {
                $crate::record(stringify!($hook), env);
            })*
        }
    };
}
