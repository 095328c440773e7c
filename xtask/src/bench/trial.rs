//! One process of `gatling hooks run`, and what it says of itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::HOOKS;
use super::numbers::milliseconds;

/// Where hooks are tried: a `gatling`, and a home for it that is nobody else's.
pub(super) struct Bench<'a> {
    pub(super) gatling: &'a Path,
    /// What holds the homes.
    pub(super) folder: PathBuf,
}

/// What one process took; times are in milliseconds.
pub(super) struct Trial {
    /// From its start to its end.
    pub(super) whole: f64,
    /// To compile the component; none where that had been done before.
    pub(super) compiled: Option<f64>,
    /// Until a hook could be called.
    pub(super) ready: f64,
    /// To make an instance: the median of the calls.
    pub(super) instance: f64,
    /// To call a hook, the making of its instance included: the median of the calls.
    pub(super) call: f64,
    /// The most memory that the process had, in MB.
    pub(super) memory: f64,
}

impl Bench<'_> {
    /// Calls a hook of `component` so many times, in a home where nothing was compiled yet.
    pub(super) fn cold(&self, component: &Path, times: u32) -> Result<Trial> {
        let home = self.folder.join("cold");
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        let trial = self.run(&home, component, times, None)?;
        trial.compiled.context("the hooks of an empty home were compiled before")?;
        Ok(trial)
    }

    /// Calls a hook of `component` so many times where it was compiled before, with the env that
    /// is in a file, if it is not to be the usual one.
    pub(super) fn cached(&self, component: &Path, times: u32, env: Option<&Path>) -> Result<Trial> {
        self.run(&self.folder.join("cached"), component, times, env)
    }

    /// Has `gatling` look into `component`; how long that takes.
    pub(super) fn check(&self, component: &Path) -> Result<f64> {
        let mut command = self.gatling(&self.folder.join("cached"))?;
        command.args(["hooks", "check"]).arg(component);
        Ok(run(&mut command)?.0)
    }

    /// How long it takes to start `gatling` with nothing to do.
    pub(super) fn start(&self) -> Result<Duration> {
        let (whole, _) = run(self.gatling(&self.folder.join("cached"))?.arg("--version"))?;
        Ok(Duration::from_secs_f64(whole / 1000.0))
    }

    fn run(&self, home: &Path, component: &Path, times: u32, env: Option<&Path>) -> Result<Trial> {
        let mut command = self.gatling(home)?;
        command.args(["hooks", "run"]).arg(component).args([HOOKS[0], "--json", "--repeat", &times.to_string()]);
        if let Some(env) = env {
            command.arg("--env").arg(env);
        }
        let (whole, said) = run(&mut command)?;
        let report: Value = serde_json::from_str(&said).context("reading what `gatling hooks run` reports")?;
        let number = |name: &str| report[name].as_f64().with_context(|| format!("the report has no {name}"));
        if number("calls")? != f64::from(times) {
            bail!("the hook was not called {times} times:\n{said}");
        }
        Ok(Trial {
            whole,
            compiled: report["compiled_milliseconds"].as_f64(),
            ready: number("ready_milliseconds")?,
            instance: number("instance_milliseconds")?,
            call: number("milliseconds")?,
            memory: number("peak_memory")? / 1e6,
        })
    }

    fn gatling(&self, home: &Path) -> Result<Command> {
        fs::create_dir_all(home)?;
        let mut command = Command::new(self.gatling);
        command.env("GATLING_HOME", home).env("GATLING_CONFIG", home.join("none.toml")).env_remove("GATLING_TRACE");
        Ok(command)
    }
}

/// Runs `command`: how long it took, and what it said.
fn run(command: &mut Command) -> Result<(f64, String)> {
    command.stdin(Stdio::null());
    let start = Instant::now();
    let output = command.output().context("starting gatling")?;
    let time = milliseconds(start.elapsed());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("`{}` failed:\n{said}{}", crate::shell::text(command), String::from_utf8_lossy(&output.stderr));
    }
    Ok((time, said))
}
