//! Removes files and folders. Large folders are moved aside, and removed after the run: some disks take a second for a
//! release.

use std::fs;
use std::io;
use std::path::Path;
use std::process;

use anyhow::{Context, Result};

/// The prefix of folders that are to be removed.
const DISCARDED: &str = ".discarded-";

/// The prefix of files that are being written.
pub(super) const NEW: &str = ".gatling-new-";

/// Removes a file or folder. Returns whether it existed.
pub(crate) fn remove(path: &Path) -> Result<bool> {
    let removed = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// Moves a folder into `aside`, on the same file system, from where [`remove_leftovers`] removes it.
pub(super) fn discard(path: &Path, aside: &Path) -> Result<()> {
    let Some(name) = path.file_name() else { return Ok(()) };
    let target = aside.join(format!("{DISCARDED}{}-{}", process::id(), name.to_string_lossy()));
    if fs::rename(path, &target).is_err() {
        return remove(path).map(drop);
    }
    Ok(())
}

/// Removes folders that were discarded, and files that a run was writing when it was killed.
pub(crate) fn remove_leftovers(aside: &Path) -> Result<()> {
    let entries = fs::read_dir(aside).into_iter().flatten().flatten();
    let is_left = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        [DISCARDED, NEW].iter().any(|prefix| name.to_string_lossy().starts_with(prefix))
    };
    entries.filter(is_left).try_for_each(|entry| remove(&entry.path()).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discarded_folder_is_moved_at_once_and_removed_later() {
        let above = tempfile::tempdir().expect("a folder");
        let folder = above.path().join("release");
        fs::create_dir_all(folder.join("lib")).expect("a folder");
        discard(&folder, above.path()).expect("it can be moved");
        assert!(!folder.exists());
        remove_leftovers(above.path()).expect("it can be removed");
        assert!(fs::read_dir(above.path()).expect("a folder").next().is_none());
    }

    #[test]
    fn only_leftovers_are_removed() {
        let above = tempfile::tempdir().expect("a folder");
        for name in [".discarded-1-0.1.0", ".gatling-new-1", "0.2.0"] {
            fs::create_dir(above.path().join(name)).expect("a folder");
        }
        remove_leftovers(above.path()).expect("it can be removed");
        let left: Vec<_> = fs::read_dir(above.path()).expect("a folder").flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["0.2.0"]);
    }
}
