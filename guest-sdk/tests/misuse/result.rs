#[gatling_hooks::hooks]
mod hooks {
    pub fn before_mix_compile(_env: &Env) -> bool { //~ a hook returns `Result<()>` or nothing, not `bool`
        true
    }

    pub fn after_mix_compile(_env: &Env) -> Result<String> { //~ a hook returns `Result<()>` or nothing, not `
        Ok(String::new())
    }

    pub fn before_mix_digest(_env: &Env) -> (u8, u8) { //~ a hook returns `Result<()>` or nothing: write it as `pub fn before_mix_digest
        (1, 2)
    }
}
