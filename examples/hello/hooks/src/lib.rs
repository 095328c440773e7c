//! The hooks of hello's upgrades. Built, this is `upgrade.wasm` in the root of the project.

#[gatling_hooks::hooks]
mod hooks {
    /// Tells whoever pushed what is about to be replaced by what.
    pub fn before_mix_compile(env: &Env) {
        match &env.previous_version {
            Some(previous) => info!("{} {previous} -> {}", env.project, env.version),
            None => info!("{} {}, the first of its kind", env.project, env.version),
        }
    }

    /// Builds the assets, which the step then digests. Should that fail, the deployment ends
    /// here, and the version that is serving goes on serving.
    pub fn before_mix_digest(env: &Env) -> Result<()> {
        bash("sh", ["script/build_assets.sh"])
            .env("VERSION", &env.version)
            .env("COMMIT", &env.commit)
            .run()
            .context("building the assets")?;
        Ok(())
    }

    /// Tells the team. Called only once the new version has answered.
    pub fn after_upgrade_service(env: &Env) {
        info!("told #ops: {} {} is up", env.project, env.version);
    }

    /// Tells the team what failed, and what visitors get now.
    pub fn on_failure(env: &Env, failure: &Failure) {
        let place = failure.place().unwrap_or("the checks");
        let serving = failure.serving.as_deref().unwrap_or("nothing");
        info!("told #ops: {} {} failed at {place}, and {serving} is serving", env.project, env.version);
    }
}

#[cfg(test)]
mod tests {
    use gatling_hooks::testing::FakeHost;
    use gatling_hooks::{Env, Failure, ProcessError};

    use super::hooks;

    #[test]
    fn whoever_pushed_is_told_both_versions() {
        let host = FakeHost::new();

        hooks::before_mix_compile(&Env::sample());

        assert_eq!(host.logged(), ["info: hello 0.1.0 -> 0.2.0"]);
    }

    #[test]
    fn assets_are_built_for_the_version_that_is_deployed() {
        let host = FakeHost::new().answer("sh", 0, "wrote assets/build.txt\n");

        hooks::before_mix_digest(&Env::sample()).unwrap();

        let [command] = &host.ran()[..] else {
            panic!("one program runs, not {:?}", host.ran());
        };
        assert_eq!(command.to_string(), "sh script/build_assets.sh");
        assert!(command.env.contains(&("VERSION".into(), "0.2.0".into())));
    }

    #[test]
    fn assets_that_cannot_be_built_end_the_deployment() {
        let _host = FakeHost::new().answer("sh", 2, "assets: no such folder\n");

        let error = hooks::before_mix_digest(&Env::sample()).unwrap_err();

        assert_eq!(
            format!("{error:#}"),
            "building the assets: `sh script/build_assets.sh` ended with status 2: \
             assets: no such folder"
        );
    }

    #[test]
    fn a_missing_grant_ends_the_deployment() {
        let denied = ProcessError::Denied("add run = [\"sh\"] to gatling.toml".into());
        let _host = FakeHost::new().refuse("sh", denied);

        assert!(hooks::before_mix_digest(&Env::sample()).is_err());
    }

    #[test]
    fn the_team_is_told_which_version_is_up() {
        let host = FakeHost::new();

        hooks::after_upgrade_service(&Env::sample());

        assert_eq!(host.logged(), ["info: told #ops: hello 0.2.0 is up"]);
    }

    #[test]
    fn the_team_is_told_what_failed_and_what_serves() {
        let host = FakeHost::new();
        let of_hook = Failure { hook: Some("before_mix_digest".into()), ..Failure::sample() };

        hooks::on_failure(&Env::sample(), &Failure::sample());
        hooks::on_failure(&Env::sample(), &Failure { serving: None, ..of_hook });

        let told = [
            "info: told #ops: hello 0.2.0 failed at upgrade_service, and 0.1.0 is serving",
            "info: told #ops: hello 0.2.0 failed at before_mix_digest, and nothing is serving",
        ];
        assert_eq!(host.logged(), told);
    }
}
