#[gatling_hooks::hooks]
mod hooks {
    pub async fn before_mix_compile(_env: &Env) {} //~ a hook can't be `async`

    pub unsafe fn after_mix_compile(_env: &Env) {} //~ a hook can't be `unsafe`

    pub extern "C" fn before_mix_digest(_env: &Env) {} //~ a hook can't be `extern`

    pub fn after_mix_digest<T>(_env: &Env) {} //~ a hook can't be generic

    #[cfg(test)] //~ a hook can't depend on a `cfg`
    pub fn before_mix_release(_env: &Env) {}
}
