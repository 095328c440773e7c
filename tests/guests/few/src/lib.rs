//! Two hooks out of sixteen.

#[gatling_hooks::hooks]
mod hooks {
    pub fn before_mix_digest(env: &Env) -> Result<()> {
        info!("building the assets of {} {}", env.project, env.version);
        Ok(())
    }

    pub fn after_upgrade_service(env: &Env) -> Result<()> {
        info!("told #ops that {} {} is up", env.project, env.version);
        Ok(())
    }
}
