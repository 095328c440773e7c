//! The project's repository on the server, which users push to.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use gatling_pipeline::Source;
use gatling_process::Command;

/// The ref that records the commit whose files are in the build dir.
pub(super) const CHECKED_OUT: &str = "refs/gatling/checkout";
/// The ref that records, during a checkout, the commit that is being checked out.
pub(super) const INCOMING: &str = "refs/gatling/incoming";
/// The key of the deploy branch in the repository's git configuration.
pub(super) const BRANCH_KEY: &str = "gatling.branch";
/// The key that says whether a failed deployment refuses the push.
const STRICT_KEY: &str = "gatling.strict";
/// The default deploy branch.
pub const DEFAULT_BRANCH: &str = "main";

/// A project's repository.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(super) dir: PathBuf,
}

/// The commits in the repository that a checkout depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tips {
    /// The commit of the deploy branch, if one was pushed.
    pub branch: Option<String>,
    pub(super) checked_out: Option<String>,
    pub(super) incoming: Option<String>,
}

impl Repository {
    /// The repository whose files are in `dir`.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Creates the repository, or updates the settings of an existing one.
    ///
    /// # Errors
    /// If git fails.
    pub fn initialise(&self, branch: &str) -> Result<()> {
        fs::create_dir_all(&self.dir).with_context(|| format!("cannot make the folder {}", self.dir.display()))?;
        if !self.dir.join(".git").is_dir() {
            self.git(["init", "--quiet"])?;
        }
        self.git(["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")])?;
        self.git(["config", BRANCH_KEY, branch])?;
        // By default git refuses a push to the branch of HEAD. Here git does not manage that branch's files.
        self.git(["config", "receive.denyCurrentBranch", "ignore"])?;
        self.sync_from_now_on()
    }

    /// Whether the repository has commits but was not created by Gatling.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.git(["config", BRANCH_KEY]).is_err()
            && self.git(["for-each-ref", "--count=1"]).is_ok_and(|refs| !refs.is_empty())
    }

    /// The deploy branch.
    #[must_use]
    pub fn branch(&self) -> String {
        let named = self.git(["config", BRANCH_KEY]).unwrap_or_default();
        if named.is_empty() { DEFAULT_BRANCH.to_owned() } else { named }
    }

    /// The latest commit of the deploy branch, if one was pushed.
    #[must_use]
    pub fn latest(&self) -> Option<String> {
        self.tips(&self.branch()).ok()?.branch
    }

    /// Whether a failed deployment refuses the push.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.git(["config", "--type=bool", STRICT_KEY]).is_ok_and(|value| value == "true")
    }

    /// Sets whether a failed deployment refuses the push.
    ///
    /// # Errors
    /// If git fails.
    pub fn set_strict(&self, strict: bool) -> Result<()> {
        self.git(["config", STRICT_KEY, if strict { "true" } else { "false" }]).map(drop)
    }

    /// The full id of a commit, from a part of it or the name of a branch or tag.
    ///
    /// # Errors
    /// If no commit matches, or more than one does.
    pub fn resolve(&self, commit: &str) -> Result<String> {
        let wanted = format!("{commit}^{{commit}}");
        self.git(["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted])
            .map_err(|_| anyhow!("there is no commit {commit:?} in {}: push it first", self.dir.display()))
    }

    /// Copies a commit, with all that it needs, from the folder where git keeps a push until it is accepted.
    ///
    /// # Errors
    /// If git fails.
    pub fn adopt(&self, commit: &str, quarantine: &Path) -> Result<()> {
        let git = |args: &[&str]| {
            let mut git = process::Command::new("git");
            git.current_dir(&self.dir).args(args);
            git
        };
        let in_quarantine = |args: &[&str]| {
            let mut git = git(args);
            git.env("GIT_OBJECT_DIRECTORY", quarantine)
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", self.dir.join(".git/objects"))
                .stdout(Stdio::piped());
            git
        };
        let output = |child: &mut process::Child| child.stdout.take().context("git has a standard output");
        let new = ["rev-list", "--objects", commit, "--not", "--all"];
        let mut list = in_quarantine(&new).stdin(Stdio::null()).spawn().context("cannot run git")?;
        let mut pack = in_quarantine(&["pack-objects", "--stdout", "--quiet"]);
        let mut pack = pack.stdin(output(&mut list)?).spawn().context("cannot run git")?;
        let mut index = git(&["index-pack", "--stdin", "--fix-thin"]);
        let index = index.stdin(output(&mut pack)?).stdout(Stdio::null()).status().context("cannot run git")?;
        let succeeded = |child: &mut process::Child| child.wait().is_ok_and(|status| status.success());
        if !succeeded(&mut list) || !succeeded(&mut pack) || !index.success() {
            bail!("git cannot read or write the objects: check `df -h` and `git -C {} fsck`", self.dir.display());
        }
        Ok(())
    }

    /// Makes git sync everything that it writes here. By default, a power failure shortly after a push can leave objects
    /// and refs that are empty, with which no later push works.
    ///
    /// # Errors
    /// If git fails.
    pub fn sync_from_now_on(&self) -> Result<()> {
        const KEY: &str = "core.fsync";
        let is_set = self.git(["config", KEY]).is_ok();
        if is_set { Ok(()) } else { self.git(["config", KEY, "all"]).map(drop) }
    }

    /// The commits of `branch` and of the checkout.
    ///
    /// # Errors
    /// If the repository cannot be read.
    pub fn tips(&self, branch: &str) -> Result<Tips> {
        let name = format!("refs/heads/{branch}");
        let refs = self.git(["for-each-ref", "--format=%(objectname) %(refname)", &name, CHECKED_OUT, INCOMING])?;
        let mut tips = Tips::default();
        for (commit, found) in refs.lines().filter_map(|line| line.split_once(' ')) {
            if found == name {
                tips.branch = Some(commit.to_owned());
            } else if found == CHECKED_OUT {
                tips.checked_out = Some(commit.to_owned());
            } else if found == INCOMING {
                tips.incoming = Some(commit.to_owned());
            }
        }
        Ok(tips)
    }

    /// The deploy branch, and the commit that is checked out.
    ///
    /// # Errors
    /// If the repository cannot be read.
    pub fn checked_out(&self) -> Result<Source> {
        let branch = self.branch();
        let commit = self.tips(&branch)?.checked_out.unwrap_or_default();
        Ok(Source { commit, branch })
    }

    /// A file as it was pushed to `branch`, which need not be checked out yet. None if it does not exist, or has more
    /// than `most` bytes.
    #[must_use]
    pub fn pushed_file(&self, branch: &str, path: &str, most: u64) -> Option<Vec<u8>> {
        let mut git = process::Command::new("git")
            .args(["cat-file", "blob", &format!("refs/heads/{branch}:{path}")])
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut bytes = Vec::new();
        let read = git.stdout.take()?.take(most + 1).read_to_end(&mut bytes);
        let ended = git.wait().ok()?;
        (read.is_ok() && ended.success() && bytes.len() as u64 <= most).then_some(bytes)
    }

    pub(super) fn git<const N: usize>(&self, args: [&str; N]) -> Result<String> {
        let command = Command::new("git", args, &self.dir);
        match command.output() {
            Err(gatling_process::CommandError::Failed { command, last_lines, .. }) => {
                bail!("`{command}` failed: {}", last_lines.join("\n    "))
            }
            other => Ok(other?),
        }
    }
}
