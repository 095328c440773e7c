//! Checks out the commit to deploy in the build dir, without losing anybody's changes.
//!
//! A push moves the deploy branch but changes no files, because a run may be building. The run itself, while it holds
//! the lock, checks out the branch's commit, and records that commit in a ref. So `HEAD` and the files differ between
//! a push and its run, and changes made by hand are those relative to the recorded commit.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use std::{fs, io, thread};

use anyhow::{Context, Result, bail};

use gatling_report::text::short;
use gatling_runs::{Change, Events};

use super::repository::{CHECKED_OUT, INCOMING, Repository, Tips};

impl Repository {
    /// Checks out `commit`. Files that were changed by hand are an error. If there is another reason why files may have
    /// changed (`crashed`, as the beginning of a sentence), the changes are saved to `leftovers` and undone.
    ///
    /// # Errors
    /// If files were changed by hand or are in the way: the error names them, and says what to do.
    pub fn check_out(
        &self,
        tips: &Tips,
        commit: &str,
        crashed: Option<&str>,
        leftovers: &Path,
        events: &Events,
    ) -> Result<()> {
        self.remove_dead_locks();
        let mut checked_out = tips.checked_out.clone();
        if let Some(incoming) = &tips.incoming {
            // A run was killed during this checkout. The files are its own incomplete work: it would not have started
            // the checkout if other files had been in the way.
            events.note(format!("an earlier checkout of {} was interrupted; completing it first", short(incoming)));
            self.wait_for_next_second();
            self.git(["read-tree", "--reset", "-u", incoming])?;
            self.record(incoming)?;
            checked_out = Some(incoming.clone());
        }
        if let Some(old) = &checked_out {
            let changed = self.changes(old)?;
            if changed.is_empty() && old == commit {
                return Ok(());
            }
            if !changed.is_empty() && self.changes(commit)?.is_empty() {
                self.git(["read-tree", commit])?;
                return self.record(commit);
            }
            if let (false, Some(crashed)) = (changed.is_empty(), crashed) {
                // git writes the file itself: text that passes through this program would not keep every byte.
                let output = format!("--output={}", leftovers.display());
                self.git(["diff", "--binary", "--no-ext-diff", "--no-textconv", &output, old])?;
                events.note(format!(
                    "{crashed} and left changed files: {}. They were restored; the changes are saved in {}",
                    changed.join(", "),
                    leftovers.display()
                ));
                self.git(["read-tree", "--reset", "-u", old])?;
            } else if !changed.is_empty() {
                let dir = self.dir.display();
                bail!(
                    "files in {dir} were changed by hand, and deploying would overwrite the changes: {}\n\
                     Look at them with `git -C {dir} diff {}`. Commit what you want to keep in your own clone; then undo the \
                     changes here with `git -C {dir} checkout {} -- .`",
                    changed.join(", "),
                    short(old),
                    short(old),
                );
            }
        }
        let old = match &checked_out {
            Some(old) => old.clone(),
            None => self.git(["hash-object", "-t", "tree", "/dev/null"])?,
        };
        let in_the_way = || {
            format!(
                "cannot check out {} in {}: git's message says which files are in the way; move them away",
                short(commit),
                self.dir.display()
            )
        };
        self.git(["read-tree", "-m", "-u", "--dry-run", &old, commit]).with_context(in_the_way)?;
        self.wait_for_next_second();
        events.changing(Change::Checkout, commit, Vec::new())?;
        self.git(["update-ref", INCOMING, commit])?;
        self.git(["read-tree", "-m", "-u", &old, commit]).with_context(in_the_way)?;
        self.record(commit)?;
        events.changed(Change::Checkout);
        Ok(())
    }

    /// Reverts tracked files that a build changed, for example a lock file: the next run would report them as changed
    /// by hand.
    ///
    /// # Errors
    /// If git fails.
    pub fn revert_build_changes(&self, commit: &str, events: &Events) -> Result<()> {
        let changed = self.changes(commit)?;
        if !changed.is_empty() {
            events.debug(format!("reverting files that the build changed: {}", changed.join(", ")));
            self.git(["read-tree", "--reset", "-u", commit])?;
        }
        Ok(())
    }

    /// Waits, for at most a second, until new files get a later time than mix's last build: mix compares times in whole
    /// seconds, and does not compile files that are not newer.
    fn wait_for_next_second(&self) {
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let Some(built) = self.last_build().map(seconds) else { return };
        let now = SystemTime::now();
        if seconds(now) == built {
            let past = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_millis();
            thread::sleep(Duration::from_millis(u64::from(1005 - past)));
        }
    }

    /// When mix last compiled: the newest time of its files in `_build/ENV/lib/APP/.mix`.
    fn last_build(&self) -> Option<SystemTime> {
        let below = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        below(self.dir.join("_build"))
            .flat_map(|env| below(env.join("lib")))
            .flat_map(|app| below(app.join(".mix")))
            .filter_map(|note| fs::metadata(note).and_then(|metadata| metadata.modified()).ok())
            .max()
    }

    /// Removes files that mix compiled while the clock was ahead: they would seem newer than any source, so mix would
    /// never compile them again.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn remove_builds_from_the_future(&self, events: &Events) -> Result<()> {
        let now = SystemTime::now() + Duration::from_secs(2);
        let below = |dir: PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_ahead = |app: &PathBuf| {
            let mut notes = below(app.join(".mix"));
            notes.any(|note| fs::metadata(note).and_then(|note| note.modified()).is_ok_and(|time| time > now))
        };
        let apps = below(self.dir.join("_build")).flat_map(|env| below(env.join("lib")));
        let ahead: Vec<_> = apps.filter(is_ahead).collect();
        for app in &ahead {
            fs::remove_dir_all(app).with_context(|| format!("cannot remove {}", app.display()))?;
        }
        if !ahead.is_empty() {
            events.note(format!(
                "compiling {} again: it was compiled while this server's clock was ahead",
                ahead.iter().filter_map(|app| app.file_name()?.to_str()).collect::<Vec<_>>().join(", ")
            ));
        }
        Ok(())
    }

    /// Removes the locks that a killed git has left in the checkout, or in a dependency that mix was fetching: git refuses
    /// to work while they exist. Only the run that has the project's lock works there.
    fn remove_dead_locks(&self) {
        let git = self.dir.join(".git");
        for name in [CHECKED_OUT, INCOMING, "index"] {
            // Usually there is none.
            _ = fs::remove_file(git.join(format!("{name}.lock")));
        }
        let dependencies = fs::read_dir(self.dir.join("deps")).into_iter().flatten().flatten();
        let mut folders: Vec<_> = dependencies.map(|dependency| dependency.path().join(".git")).collect();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && entry.file_name() != "objects" {
                    folders.push(entry.path());
                } else if entry.path().extension().is_some_and(|extension| extension == "lock") {
                    _ = fs::remove_file(entry.path());
                }
            }
        }
    }

    /// Removes everything that mix has built and fetched: after a power failure during a build, any of these files can be
    /// empty.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn remove_builds(&self, events: &Events) -> Result<()> {
        events.note("the server went down during the last build: fetching and compiling everything again");
        for folder in ["_build", "deps"] {
            let folder = self.dir.join(folder);
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", folder.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn changes(&self, commit: &str) -> Result<Vec<String>> {
        let names = self.git(["diff", "--no-ext-diff", "--name-only", commit])?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Records which commit is checked out.
    fn record(&self, commit: &str) -> Result<()> {
        self.git(["update-ref", CHECKED_OUT, commit])?;
        self.git(["update-ref", "-d", INCOMING])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::repository::{BRANCH_KEY, DEFAULT_BRANCH};
    use super::*;

    struct Fixture {
        folder: tempfile::TempDir,
        repository: Repository,
    }

    /// A repository with two commits on main that were pushed but not checked out.
    fn fixture() -> (Fixture, String, String) {
        let folder = tempfile::tempdir().expect("a folder");
        let repository = Repository::at(&folder.path().join("hello"));
        repository.initialise(DEFAULT_BRANCH).expect("git works");
        let fixture = Fixture { folder, repository };
        let first = fixture.commit("one");
        let second = fixture.commit("two");
        (fixture, first, second)
    }

    impl Fixture {
        fn file(&self) -> PathBuf {
            self.repository.dir.join("file")
        }

        fn text(&self) -> String {
            fs::read_to_string(self.file()).expect("the file is there")
        }

        /// Makes a commit without a working tree.
        fn commit(&self, text: &str) -> String {
            let source = self.folder.path().join("blob");
            fs::write(&source, text).expect("a file");
            let git = |args: &[&str]| {
                let mut command = std::process::Command::new("git");
                command
                    .args(["-c", "user.name=a", "-c", "user.email=a@b"])
                    .args(args)
                    .current_dir(&self.repository.dir);
                command.env("GIT_INDEX_FILE", self.folder.path().join("index"));
                let output = command.output().expect("git runs");
                assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8_lossy(&output.stdout).trim().to_owned()
            };
            let blob = git(&["hash-object", "-w", &source.display().to_string()]);
            git(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},file")]);
            let tree = git(&["write-tree"]);
            let commit = git(&["commit-tree", "-m", text, &tree]);
            git(&["update-ref", "refs/heads/main", &commit]);
            commit
        }

        fn check_out(&self, commit: &str, after_kill: bool) -> Result<()> {
            let crashed = after_kill.then_some("the previous run was killed");
            let tips = self.repository.tips("main").expect("git works");
            let leftovers = self.folder.path().join("leftovers.patch");
            self.repository.check_out(&tips, commit, crashed, &leftovers, &Events::none())
        }
    }

    #[test]
    fn a_repository_with_commits_that_gatling_did_not_create_is_foreign() {
        let (fixture, ..) = fixture();
        assert!(!fixture.repository.is_foreign());
        fixture.repository.git(["config", "--unset", BRANCH_KEY]).expect("git works");
        assert!(fixture.repository.is_foreign());
    }

    #[test]
    fn newer_and_older_commits_can_be_checked_out() {
        let (fixture, first, second) = fixture();
        for (commit, text) in [(&second, "two"), (&first, "one"), (&second, "two"), (&second, "two")] {
            fixture.check_out(commit, false).expect("nothing is in the way");
            assert_eq!(fixture.text(), text);
        }
    }

    #[test]
    fn files_changed_by_hand_are_named_and_kept() {
        let (fixture, first, second) = fixture();
        fixture.check_out(&first, false).expect("nothing is in the way");
        fs::write(fixture.file(), "by hand").expect("a file");
        let error = fixture.check_out(&second, false).expect_err("it would be lost").to_string();
        assert!(error.contains("changed by hand") && error.contains(": file\n"), "{error}");
        assert_eq!(fixture.text(), "by hand");
    }

    #[test]
    fn an_untracked_file_is_not_overwritten() {
        let (fixture, first, _) = fixture();
        fs::write(fixture.file(), "by hand").expect("a file");
        let error = format!("{:#}", fixture.check_out(&first, false).expect_err("it would be lost"));
        assert!(error.contains("file"), "{error}");
        assert_eq!(fixture.text(), "by hand");
    }

    #[test]
    fn changes_of_a_killed_run_are_saved_as_a_patch_and_undone() {
        let (fixture, first, second) = fixture();
        fixture.check_out(&first, false).expect("nothing is in the way");
        fs::write(fixture.file(), "half").expect("a file");
        fs::write(fixture.repository.dir.join(".git/index.lock"), "").expect("a file");
        fixture.check_out(&second, true).expect("the changes are undone");
        assert_eq!(fixture.text(), "two");
        let patch = fs::read_to_string(fixture.folder.path().join("leftovers.patch")).expect("the patch");
        assert!(patch.contains("+half"), "{patch}");
    }

    #[test]
    fn the_locks_of_a_killed_git_are_removed_from_the_checkout_and_from_dependencies() {
        let (fixture, first, _) = fixture();
        let dependency = fixture.repository.dir.join("deps/icons/.git");
        fs::create_dir_all(dependency.join("refs/heads")).expect("folders");
        fs::create_dir_all(dependency.join("objects")).expect("a folder");
        let locks = ["shallow.lock", "refs/heads/main.lock"].map(|name| dependency.join(name));
        for lock in locks.iter().chain([&fixture.repository.dir.join(".git/index.lock")]) {
            fs::write(lock, "").expect("a file");
        }
        fixture.check_out(&first, false).expect("no lock is in the way");
        assert!(locks.iter().all(|lock| !lock.exists()));
    }

    #[test]
    fn an_interrupted_checkout_is_completed() {
        let (fixture, first, second) = fixture();
        // Killed after it wrote the file, and before it updated the index.
        fs::write(fixture.file(), "one").expect("a file");
        fixture.repository.git(["update-ref", INCOMING, &first]).expect("git works");
        fixture.check_out(&second, true).expect("the changes are undone");
        assert_eq!(fixture.text(), "two");
        assert_eq!(fixture.repository.tips("main").expect("git works").incoming, None);
    }

    #[test]
    fn a_file_in_the_way_is_not_overwritten_by_a_second_attempt() {
        let (fixture, first, _) = fixture();
        fs::write(fixture.file(), "by hand").expect("a file");
        for _ in 0..2 {
            fixture.check_out(&first, false).expect_err("it would be lost");
        }
        assert_eq!(fixture.text(), "by hand");
    }

    #[test]
    fn tracked_files_that_a_build_changed_are_reverted() {
        let (fixture, first, second) = fixture();
        fixture.check_out(&first, false).expect("nothing is in the way");
        fs::write(fixture.file(), "by mix").expect("a file");
        fixture.repository.revert_build_changes(&first, &Events::none()).expect("git works");
        assert_eq!(fixture.text(), "one");
        fixture.check_out(&second, false).expect("nothing is in the way");
    }
}
