#[gatling_hooks::hooks]
mod hooks {
    pub fn before_mix_compile() -> Result<()> { //~ a hook takes the env: write it as `pub fn before_mix_compile(env: &Env) -> Result<()>`
        Ok(())
    }

    pub fn after_mix_compile(_env: Env) -> Result<()> { //~ a hook borrows the env
        Ok(())
    }

    pub fn before_mix_digest(
        _env: &mut Env, //~ a hook can't change the env
    ) -> Result<()> {
        Ok(())
    }

    pub fn after_mix_digest(
        _env: &Env,
        _more: u32, //~ a hook takes nothing but the env
    ) -> Result<()> {
        Ok(())
    }

    pub fn before_mix_release(
        _env: &String, //~ mismatched types
    ) -> Result<()> {
        Ok(())
    }

    pub fn after_mix_release(
        _env: &Env,
        _failure: &Failure, //~ a hook takes nothing but the env: write it as `pub fn after_mix_release(env: &Env) -> Result<()>`
    ) {
    }
}

#[gatling_hooks::hooks]
mod without_failure {
    pub fn on_failure(_env: &Env) {} //~ a hook takes the env and the failure: write it as `pub fn on_failure(env: &Env, failure: &Failure) -> Result<()>`
}

#[gatling_hooks::hooks]
mod with_owned_failure {
    pub fn on_failure(_env: &Env, _failure: Failure) {} //~ a hook borrows the failure
}

#[gatling_hooks::hooks]
mod with_wrong_failure {
    pub fn on_failure(
        _env: &Env,
        _failure: &String, //~ mismatched types
    ) {
    }
}
