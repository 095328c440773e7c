//! A hook that traps inside a helper function, which the backtrace must name.

#[gatling_hooks::hooks]
mod hooks {
    pub fn after_mix_compile(env: &Env) -> Result<()> {
        deep_helper(&env.version);
        Ok(())
    }

    #[inline(never)]
    fn deep_helper(version: &str) {
        assert!(version.is_empty(), "the disk is made of cheese");
    }
}
