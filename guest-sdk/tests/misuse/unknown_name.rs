#[gatling_hooks::hooks]
mod hooks {
    pub fn before_mix_compil(env: &Env) -> Result<()> { //~ no step has a hook `before_mix_compil`; the nearest is `before_mix_compile`
        helper(env)
    }

    pub fn after_upgrade_servcie(_: &Env) {} //~ the nearest is `after_upgrade_service`

    pub fn on_failur(_: &Env, _: &Failure) {} //~ the nearest is `on_failure`

    pub fn helper(_: &Env) -> Result<()> { //~ If this is a helper, remove its `pub`
        Ok(())
    }
}

// The module exists in spite of the errors: only the misspelled names are reported.
pub fn caller() {
    let _ = hooks::before_mix_compil(&gatling_hooks::Env::sample());
}
