//! Removes files and folders. Large folders are removed in the background: some disks take a second for a release.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{self, Command, Stdio};

use anyhow::{Context, Result};

/// The prefix of folders that are being removed.
const PREFIX: &str = ".discarded-";

/// Removes a file or folder. Returns whether it existed.
pub(super) fn remove(path: &Path) -> Result<bool> {
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

/// Moves a folder into `aside`, on the same file system, and removes it there in the background.
pub(super) fn discard(path: &Path, aside: &Path) -> Result<()> {
    let Some(name) = path.file_name() else { return Ok(()) };
    let target = aside.join(format!("{PREFIX}{}-{}", process::id(), name.to_string_lossy()));
    if fs::rename(path, &target).is_err() {
        return remove(path).map(drop);
    }
    let mut rm = Command::new("rm");
    rm.arg("-rf").arg(&target).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // It continues after this program ends. If a power failure stops it, the next run removes the rest.
    rm.spawn().with_context(|| format!("cannot remove {}", target.display())).map(drop)
}

/// Removes folders that an earlier run could not finish removing.
pub(super) fn remove_leftovers(aside: &Path) -> Result<()> {
    let entries = fs::read_dir(aside).into_iter().flatten().flatten();
    let is_left = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(PREFIX);
    entries.filter(is_left).try_for_each(|entry| remove(&entry.path()).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_discarded_folder_is_moved_at_once_and_removed_soon() {
        let above = tempfile::tempdir().expect("a folder");
        let folder = above.path().join("release");
        fs::create_dir_all(folder.join("lib")).expect("a folder");
        discard(&folder, above.path()).expect("it can be moved");
        assert!(!folder.exists());
        let deadline = Instant::now() + Duration::from_secs(20);
        while fs::read_dir(above.path()).expect("a folder").next().is_some() {
            assert!(Instant::now() < deadline, "it is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn only_leftovers_are_removed() {
        let above = tempfile::tempdir().expect("a folder");
        for name in [".discarded-1-0.1.0", "0.2.0"] {
            fs::create_dir(above.path().join(name)).expect("a folder");
        }
        remove_leftovers(above.path()).expect("it can be removed");
        let left: Vec<_> = fs::read_dir(above.path()).expect("a folder").flatten().map(|e| e.file_name()).collect();
        assert_eq!(left, ["0.2.0"]);
    }
}
