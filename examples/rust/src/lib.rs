//! The hooks of upgrade.wasm.

#[gatling_hooks::hooks]
mod hooks {
    use std::fs;
    use std::io::ErrorKind;
    use std::path::Path;

    /// Tells whoever pushed what is about to be replaced by what.
    pub fn before_mix_compile(env: &Env) {
        let previous = env.previous_version.as_deref().unwrap_or("nothing");
        let commit = env.commit.get(..7).unwrap_or(&env.commit);
        info!("{} {previous} -> {} ({} {commit})", env.project, env.version, env.branch);
        info!("served at {}", env.domains.join(", "));
    }

    /// Builds the assets, which the step then digests. Without the grant to do so, those of the
    /// repository have to do.
    pub fn before_mix_digest(env: &Env) -> Result<()> {
        let script = bash("sh", ["script/build_assets.sh"]).env("VERSION", &env.version).env("COMMIT", &env.commit);
        let output = match script.output() {
            Ok(output) => output,
            Err(ProcessError::Denied(why)) => {
                warn!("the assets are not built: {why}");
                return Ok(());
            }
            Err(error) => bail!("building the assets: {error}"),
        };
        ensure!(output.status == 0, "building the assets: sh ended with status {}", output.status);
        info!("assets: {}", output.output.lines().last().unwrap_or_default());
        Ok(())
    }

    /// Says what is new, in the words of the first line of the project's file CHANGES.
    pub fn after_mix_release(env: &Env) -> Result<()> {
        match fs::read_to_string(Path::new(&env.build_dir).join("CHANGES")) {
            Ok(changes) => info!("changes: {}", changes.lines().next().unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::NotFound => info!("there is no file CHANGES"),
            Err(error) => bail!("cannot read CHANGES: {error}"),
        }
        Ok(())
    }

    /// Fails on demand. The version that is serving goes on serving.
    pub fn before_upgrade_service(env: &Env) -> Result<()> {
        ensure!(!Path::new(&env.build_dir).join("FAIL").exists(), "told to fail");
        Ok(())
    }

    /// Tells the team what failed, and what visitors get now.
    pub fn on_failure(env: &Env, failure: &Failure) {
        let place = failure.place().unwrap_or("the checks");
        info!("told #ops: {} {} failed at {place}", env.project, env.version);
        let moved = if failure.traffic_moved { "it had taken over" } else { "it had not taken over" };
        info!("{moved}, serving now: {}", failure.serving.as_deref().unwrap_or("nothing"));
    }
}
