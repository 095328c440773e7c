//! A hook that stops the deployment by returning an error.

#[gatling_hooks::hooks]
mod hooks {
    pub fn before_mix_release(_env: &Env) -> Result<()> {
        bail!("not on a Friday")
    }
}
