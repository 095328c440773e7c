//! Hooks that fail on request, and the hook `on_failure`. The pre-release tag of the version says what they do: with
//! `0.2.0-error.trapped`, `before_mix_release` returns an error and `on_failure` traps.

#[gatling_hooks::hooks]
mod hooks {
    pub fn before_mix_release(env: &Env) -> Result<()> {
        match first_word(env) {
            "error" => bail!("not on a Friday"),
            "trap" => panic!("the disk is made of cheese"),
            _ => Ok(()),
        }
    }

    pub fn after_upgrade_service(env: &Env) -> Result<()> {
        ensure!(first_word(env) != "late", "too late");
        Ok(())
    }

    pub fn on_failure(env: &Env, failure: &Failure) -> Result<()> {
        let or_none = |text: &Option<String>| text.clone().unwrap_or("none".into());
        info!("failed at step {}, hook {}", or_none(&failure.step), or_none(&failure.hook));
        info!(
            "cancelled {}, traffic moved {}, serving {}",
            failure.cancelled,
            failure.traffic_moved,
            or_none(&failure.serving)
        );
        info!("because: {}", failure.message);
        // The journal redacts secrets, so this logs whether the message contained them.
        info!("it is about {}", if failure.message.contains("Friday") { "a weekday" } else { "no weekday" });
        let short = deployment::failed().expect("it is called because something failed");
        ensure!(short.step == failure.step.clone().unwrap_or_default() && short.hook == failure.hook, "{short:?}");
        if let Ok(value) = variable("TOKEN") {
            info!("the token has {} characters", value.len());
        }
        info!("{} {} {}", deployment::phase(), deployment::step(), env.project);
        match env.version.rsplit('.').next().unwrap_or_default() {
            "returned" => bail!("nobody answers at #ops"),
            "trapped" => panic!("out of tears"),
            "endless" => loop {
                std::hint::black_box(env);
            },
            _ => Ok(()),
        }
    }

    fn first_word(env: &Env) -> &str {
        let words = env.version.split_once('-').map_or("", |(_, words)| words);
        words.split('.').next().unwrap_or_default()
    }
}
