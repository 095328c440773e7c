//! Detects changes in the files of a project that mix reads when it starts.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How deep the folders below `config` are searched: deeper than in any real project.
const MAX_DEPTH: usize = 4;

/// The files in a dependency's folder that are rewritten when it is fetched.
const FETCHED: [&str; 5] = ["", ".hex", ".fetch", ".git/HEAD", ".git/index"];

/// The state of the files of a project that mix reads: mix.exs, mix.lock and the config, also those of an umbrella's
/// apps, and the files that fetching leaves in the dependencies' folders; each with its time, length and inode.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Snapshot(Vec<(PathBuf, (i64, i64, u64, u64))>);

impl Snapshot {
    /// Takes a snapshot of the project in a folder.
    pub(super) fn take(project: &Path) -> Self {
        let mut snapshot = Self(Vec::new());
        for root in [project.to_owned()].into_iter().chain(entries(&project.join("apps"))) {
            ["mix.exs", "mix.lock"].iter().for_each(|name| snapshot.add(root.join(name)));
            snapshot.add_all(&root.join("config"), MAX_DEPTH);
        }
        for dependency in entries(&project.join("deps")) {
            FETCHED.iter().for_each(|name| snapshot.add(dependency.join(name)));
        }
        snapshot
    }

    fn add(&mut self, path: PathBuf) {
        if let Ok(file) = fs::metadata(&path) {
            self.0.push((path, (file.mtime(), file.mtime_nsec(), file.len(), file.ino())));
        }
    }

    fn add_all(&mut self, folder: &Path, depth: usize) {
        for path in entries(folder) {
            if depth > 0 && path.is_dir() {
                self.add_all(&path, depth - 1);
            } else {
                self.add(path);
            }
        }
    }
}

/// The entries of a folder, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_of_files_that_mix_reads_are_detected() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("mix.exs", "1");
        let mut before = Snapshot::take(folder.path());
        for read in ["mix.exs", "mix.lock", "config/config.exs", "config/more/a.exs", "apps/a/mix.exs", "deps/a/.hex"] {
            write(read, "of another length");
            let after = Snapshot::take(folder.path());
            assert_ne!(before, after, "{read}");
            before = after;
        }
        for not_read in ["lib/a.ex", "priv/static/app.js", "_build/prod/lib/a", "apps/a/lib/a.ex"] {
            write(not_read, "text");
            assert_eq!(before, Snapshot::take(folder.path()), "{not_read}");
        }
    }
}
