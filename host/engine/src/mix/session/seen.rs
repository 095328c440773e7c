//! What mix reads of a project before it does anything, and whether it has changed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The folders of these depths below `config` are looked at: more than anybody has.
const DEEPEST: usize = 4;

/// In a dependency's folder, what is written anew when it is fetched.
const FETCHED: [&str; 5] = ["", ".hex", ".fetch", ".git/HEAD", ".git/index"];

/// The files that mix reads of a project: mix.exs, mix.lock and the config, those of an umbrella's apps,
/// and what fetching leaves in the dependencies' folders; each with its time, length and inode.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen(Vec<(PathBuf, (i64, i64, u64, u64))>);

impl Seen {
    /// Looks at the project in a folder.
    pub(super) fn look(project: &Path) -> Self {
        let mut seen = Self(Vec::new());
        for root in [project.to_owned()].into_iter().chain(entries(&project.join("apps"))) {
            ["mix.exs", "mix.lock"].iter().for_each(|name| seen.add(root.join(name)));
            seen.add_all(&root.join("config"), DEEPEST);
        }
        for dependency in entries(&project.join("deps")) {
            FETCHED.iter().for_each(|name| seen.add(dependency.join(name)));
        }
        seen
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

/// What is in a folder, sorted.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mix_reads_is_seen_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("mix.exs", "1");
        let mut before = Seen::look(folder.path());
        for read in ["mix.exs", "mix.lock", "config/config.exs", "config/more/a.exs", "apps/a/mix.exs", "deps/a/.hex"] {
            write(read, "of another length");
            let after = Seen::look(folder.path());
            assert_ne!(before, after, "{read}");
            before = after;
        }
        for not_read in ["lib/a.ex", "priv/static/app.js", "_build/prod/lib/a", "apps/a/lib/a.ex"] {
            write(not_read, "text");
            assert_eq!(before, Seen::look(folder.path()), "{not_read}");
        }
    }
}
