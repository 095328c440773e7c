//! The example app, deployed in a sandbox, and its hooks file.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gatling_tests::{Sandbox, http};

use super::HOOKS;
use super::projects::{Language, component};

/// The app's name.
pub(super) const PROJECT: &str = "hello";
/// The version of the app, which is the name of the release that an upgrade finds.
pub(super) const VERSION: &str = "0.1.0";
/// The name of the release that an upgrade to the same version makes.
pub(super) const NEXT: &str = "0.1.0+2";

/// A deployed app.
pub(super) struct App<'s> {
    pub(super) sandbox: &'s Sandbox,
    /// Whose hooks are in place.
    hooks: Cell<Option<Language>>,
}

impl<'s> App<'s> {
    /// Deploys the example app.
    pub(super) fn deploy(sandbox: &'s Sandbox) -> Result<Self> {
        let port = http::free_port()?;
        let gatling = |arguments: &[&str]| sandbox.run(arguments)?.expect_success();
        gatling(&["load", PROJECT])?;
        gatling(&["config", "set", PROJECT, "RELEASE_DISTRIBUTION=none", &format!("PORT={port}")])?;
        let project = sandbox.project(PROJECT)?;
        let push = project.push()?.expect_success()?;
        sandbox.get_direct(port, "/").with_context(|| format!("deploying:\n{}", push.stderr))?;
        Ok(Self { sandbox, hooks: Cell::new(None) })
    }

    /// Where it is built.
    pub(super) fn build_dir(&self) -> PathBuf {
        self.sandbox.home().join(PROJECT)
    }

    /// Where its releases are.
    pub(super) fn deploy_dir(&self) -> PathBuf {
        self.sandbox.home().join("deployments").join(PROJECT)
    }

    /// What starts and stops it.
    pub(super) fn init_script(&self) -> PathBuf {
        self.sandbox.etc().join(PROJECT)
    }

    /// Removes what an upgrade has left. The release that it made must not be in use any more.
    pub(super) fn clear(&self) {
        _ = fs::remove_dir_all(self.deploy_dir().join("releases").join(NEXT));
        // The name of a release that has served is not used again.
        for file in ["served", "names"] {
            let file = self.deploy_dir().join(file);
            let text = fs::read_to_string(&file).unwrap_or_default();
            let others: String = text.lines().filter(|name| *name != NEXT).map(|name| format!("{name}\n")).collect();
            _ = fs::write(file, others);
        }
        _ = fs::remove_dir_all(self.sandbox.home().join(".gatling").join(PROJECT).join("runs"));
    }

    /// Puts the hooks in one language in place, or none, with all that Gatling has kept of these
    /// hooks: they are to look as they do to an app that changes without its hooks.
    pub(super) fn set_hooks(&self, hooks: Option<Language>) -> Result<()> {
        let file = self.build_dir().join("upgrade.wasm");
        let cache = self.sandbox.home().join(".gatling/cache");
        let kept = |language: Language| self.sandbox.root().join(format!("cache-{}", language.name));
        if let Some(old) = self.hooks.replace(hooks) {
            fs::remove_file(&file)?;
            fs::rename(&cache, kept(old)).context("keeping the compiled hooks")?;
        }
        if let Some(new) = hooks {
            // A link, so that the file's times are not those of this moment.
            symlink(component(new)?, &file)?;
            if kept(new).exists() {
                fs::rename(kept(new), &cache).context("putting back the compiled hooks")?;
            }
        }
        Ok(())
    }

    /// `gatling upgrade`.
    pub(super) fn upgrade(&self) -> Command {
        self.sandbox.gatling(&["upgrade", PROJECT])
    }

    /// Times `gatling upgrade`, and sees to it that it called the hooks that are in place: hooks
    /// that were not called would make for a fine time.
    pub(super) fn time_upgrade(&self, command: &mut Command) -> Result<Duration> {
        let (time, said) = time(command)?;
        let called = if self.hooks.get().is_some() { HOOKS.len() } else { 0 };
        ensure!(said.contains(&format!(", {called} hooks,")), "{called} hooks should have been called:\n{said}");
        Ok(time)
    }
}

/// Times a process: how long it took, and what it said.
pub(super) fn time(command: &mut Command) -> Result<(Duration, String)> {
    command.stdin(Stdio::null());
    let start = Instant::now();
    let output = command.output()?;
    let time = start.elapsed();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}:\n{said}{errors}", crate::shell::text(command), output.status);
    }
    Ok((time, said))
}
