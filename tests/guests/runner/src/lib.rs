//! Hooks that run programs: one that fails, one that is not granted, one that does not exist.
//!
//! `gatling.toml` must grant `sh` and `no-such-program`, and not `cat`.

#[gatling_hooks::hooks]
mod hooks {
    pub fn before_mix_compile(_env: &Env) -> Result<()> {
        println!("printed to standard output");
        eprintln!("printed to standard error");
        let output = bash("sh", ["-c", "echo one; echo two >&2; exit 3"]).output()?;
        info!("status {}, output {:?}", output.status, output.output);
        Ok(())
    }

    pub fn before_mix_digest(_env: &Env) {
        log_error("cat", bash("cat", ["/etc/passwd"]).run());
    }

    pub fn after_mix_compile(_env: &Env) {
        log_error("no-such-program", bash("no-such-program", []).run());
    }

    fn log_error(program: &str, result: Result<Output, ProcessError>) {
        match result {
            Err(ProcessError::Denied(message)) => warn!("{program} denied: {message}"),
            Err(ProcessError::NotFound(message)) => warn!("{program} not found: {message}"),
            other => error!("{program}: {other:?}"),
        }
    }
}
