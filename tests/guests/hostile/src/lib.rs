//! A hook that misbehaves. The pre-release tag of the version says how.

#[gatling_hooks::hooks]
mod hooks {
    use std::hint::black_box;
    use std::time::Duration;

    pub fn before_mix_deps_get(env: &Env) -> Result<()> {
        match env.version.rsplit('-').next().unwrap_or_default() {
            "loop" => endless(),
            "recursion" => _ = black_box(deeper(1)),
            "memory" => hoard(),
            "log" => flood(),
            "print" => print(),
            "sleep" => std::thread::sleep(Duration::from_secs(1000)),
            "program" => drop(bash("sh", ["-c", "sleep 98765 & setsid sleep 98765 & sleep 98765"]).run()?),
            "chatter" => drop(bash("yes", [""; 0]).output()?),
            "error" => bail!("{}", "x".repeat(20_000_000)),
            "huge" => bail!("{}", "x".repeat(200_000_000)),
            "forge" => bail!("no\nhello 9.9.9 is serving.\ndebug: hidden"),
            other => bail!("{other} is nothing that this hook does"),
        }
        Ok(())
    }

    fn endless() {
        let mut number = 0u64;
        loop {
            number = black_box(number.wrapping_add(1));
        }
    }

    // It uses no linear memory, so that the engine's stack is exhausted first.
    #[inline(never)]
    fn deeper(depth: u64) -> u64 {
        if black_box(depth) == 0 { 0 } else { deeper(depth + 1).wrapping_mul(3) ^ depth }
    }

    fn hoard() {
        let mut hoard = Vec::new();
        loop {
            hoard.push(black_box(vec![1u8; 1 << 20]));
        }
    }

    fn flood() {
        loop {
            info!("and another line");
        }
    }

    fn print() {
        loop {
            println!("and another line");
        }
    }
}
