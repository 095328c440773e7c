//! Every hook of `upgrade`, to measure the time of a call.

#[gatling_hooks::hooks]
mod hooks {
    pub fn before_mix_deps_get(_env: &Env) {}
    pub fn after_mix_deps_get(_env: &Env) {}
    pub fn before_mix_compile(_env: &Env) {}
    pub fn after_mix_compile(_env: &Env) {}
    pub fn before_mix_digest(_env: &Env) {}
    pub fn after_mix_digest(_env: &Env) {}
    pub fn before_mix_release(_env: &Env) {}
    pub fn after_mix_release(_env: &Env) {}
    pub fn before_make_upgrade_dir(_env: &Env) {}
    pub fn after_make_upgrade_dir(_env: &Env) {}
    pub fn before_copy_release_to_upgrade(_env: &Env) {}
    pub fn after_copy_release_to_upgrade(_env: &Env) {}
    pub fn before_upgrade_service(_env: &Env) {}
    pub fn after_upgrade_service(_env: &Env) {}
    pub fn before_configure_nginx(_env: &Env) {}
    pub fn after_configure_nginx(_env: &Env) {}
}
