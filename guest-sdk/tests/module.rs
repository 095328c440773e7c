//! For this target, a module of hooks is plain Rust: it compiles, and its functions can be called.

// Denied, so that the test fails to compile if the macro drops an `allow` attribute.
#![deny(non_snake_case, unused_variables)]

use gatling_hooks::testing::FakeHost;
use gatling_hooks::{Env, Failure, bash};

#[gatling_hooks::hooks]
mod hooks {
    #![allow(non_snake_case)]

    //! A module may contain inner comments and attributes.

    use std::collections::BTreeMap;

    /// Items that are not functions are kept.
    pub const LIMIT: usize = 2;

    struct Count(usize);

    /// A comment on a hook is kept, and so is an attribute.
    #[allow(unused_variables)]
    pub fn before_mix_compile(env: &Env) -> Result<()> {
        let forgotten = 0;
        let mut seen = BTreeMap::new();
        seen.insert(env.project.clone(), Count(env.releases.len()));
        info!("{} has {} releases", env.project, helper(&seen[&env.project]));
        Ok(())
    }

    pub fn before_mix_digest(env: &Env) -> Result<()> {
        bash("npm", ["install"]).cd(&env.build_dir).env("CI", "1").run()?;
        Ok(())
    }

    pub fn after_mix_digest(Env { project, .. }: &Env) {
        debug!("{project}");
        warn!("{project}");
        error!("{project}");
    }

    pub fn after_mix_compile(env: &Env) -> std::result::Result<(), std::num::ParseIntError> {
        env.version.parse::<u32>().map(drop)
    }

    pub fn before_mix_release(env: &Env) -> Result<()> {
        ensure!(env.releases.len() < LIMIT, "there are {LIMIT} releases");
        bail!("not on a Friday")
    }

    pub fn after_mix_release(_: &Env) {
        info!("{} {}", deployment::phase(), deployment::step());
    }

    pub fn on_failure(env: &Env, failure: &Failure) -> Result<()> {
        ensure!(!failure.traffic_moved, "{} serves already", env.version);
        error!("{}: {}", failure.place().unwrap_or("the checks"), failure.message);
        Ok(())
    }

    fn helper(count: &Count) -> usize {
        count.0
    }

    pub(crate) fn noHookAlthoughVisible() -> bool {
        true
    }
}

/// Hooks may be written by a macro that also writes the attribute. Names and types come from the arguments of the
/// macro or from its body.
macro_rules! written_by_macro {
    ($($hook:ident($($env:tt)*) -> $result:ty)*) => {
        #[gatling_hooks::hooks]
        mod written {
            $(pub fn $hook(env: $($env)*) -> $result {
                info!("{} in {}", stringify!($hook), env.version);
                Ok(())
            })*
        }
    };
}

written_by_macro!(before_expand_release(&Env) -> Result<()> after_stop_service(&Env) -> Result<()>);

#[test]
fn a_hook_can_read_its_env_and_log() {
    let host = FakeHost::new();

    hooks::before_mix_compile(&Env::sample()).unwrap();

    assert_eq!(host.logged(), ["info: hello has 1 releases"]);
}

#[test]
fn every_level_has_a_macro() {
    let host = FakeHost::new();

    hooks::after_mix_digest(&Env::sample());

    assert_eq!(host.logged(), ["debug: hello", "warn: hello", "error: hello"]);
}

#[test]
fn a_hook_runs_its_program() {
    let host = FakeHost::new().answer("npm", 0, "");
    let env = Env::sample();

    hooks::before_mix_digest(&env).unwrap();

    let install = bash("npm", ["install"]).cd(env.build_dir).env("CI", "1");
    assert_eq!(host.ran(), [install]);
}

#[test]
fn a_failed_program_fails_its_hook() {
    let _host = FakeHost::new().answer("npm", 1, "no package.json\n");

    let error = hooks::before_mix_digest(&Env::sample()).unwrap_err();

    assert_eq!(error.to_string(), "`npm install` ended with status 1: no package.json");
}

#[test]
fn a_hook_can_fail_with_a_message() {
    let error = hooks::before_mix_release(&Env::sample()).unwrap_err();
    assert_eq!(error.to_string(), "not on a Friday");
}

#[test]
fn a_hook_can_fail_with_its_own_error_type() {
    let env = Env { version: "1".into(), ..Env::sample() };
    assert!(hooks::after_mix_compile(&env).is_ok());
    assert!(hooks::after_mix_compile(&Env::sample()).is_err());
}

#[test]
fn on_failure_gets_what_failed() {
    let host = FakeHost::new();
    let env = Env::sample();

    hooks::on_failure(&env, &Failure::sample()).unwrap();
    let hook = Failure { hook: Some("before_mix_digest".into()), message: "no".into(), ..Failure::sample() };
    hooks::on_failure(&env, &hook).unwrap();
    hooks::on_failure(&env, &Failure { step: None, message: "no disk".into(), ..Failure::sample() }).unwrap();

    let logged = [
        "error: upgrade_service: the step upgrade_service: 0.2.0 did not answer",
        "error: before_mix_digest: no",
        "error: the checks: no disk",
    ];
    assert_eq!(host.logged(), logged);
    let moved = Failure { traffic_moved: true, ..Failure::sample() };
    assert_eq!(hooks::on_failure(&env, &moved).unwrap_err().to_string(), "0.2.0 serves already");
}

#[test]
fn helpers_and_constants_are_not_changed() {
    assert!(hooks::noHookAlthoughVisible());
    assert_eq!(hooks::LIMIT, 2);
}

#[test]
fn a_hook_without_a_fake_host_gets_a_default_step() {
    hooks::after_mix_release(&Env::sample());
}

#[test]
fn hooks_can_be_written_by_a_macro() {
    let host = FakeHost::new();

    written::before_expand_release(&Env::sample()).unwrap();
    written::after_stop_service(&Env::sample()).unwrap();

    assert_eq!(host.logged(), ["info: before_expand_release in 0.2.0", "info: after_stop_service in 0.2.0"]);
}
