//! What the file system keeps, loses and refuses, as programs see it.

mod crashes;
mod durability;
mod errors;
mod files;
mod programs;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use gatling_faultfs::{Durability, FaultFs};
use tempfile::TempDir;

/// A mounted file system. It is unmounted before its folder is removed.
struct Disk {
    faults: FaultFs,
    folder: TempDir,
}

impl Disk {
    /// None, if this machine does not allow the mount.
    fn new(durability: Durability) -> Option<Self> {
        if !FaultFs::is_available() {
            eprintln!("SKIPPED: this user cannot mount anything on this machine");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        Some(Self { faults: FaultFs::mount_with(folder.path(), durability).unwrap(), folder })
    }

    fn strict() -> Option<Self> {
        Self::new(Durability::Strict)
    }

    fn ordered() -> Option<Self> {
        Self::new(Durability::Ordered)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, contents: &str) {
        fs::write(self.path(name), contents).unwrap();
    }

    fn mkdir(&self, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// What the file contains. None if it does not exist.
    fn read(&self, name: &str) -> Option<String> {
        match fs::read_to_string(self.path(name)) {
            Ok(contents) => Some(contents),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => panic!("cannot read {name}: {error}"),
        }
    }

    /// Syncs a file or a folder.
    fn sync(&self, name: &str) {
        File::open(self.path(name)).unwrap().sync_all().unwrap();
    }

    /// The names in a folder.
    fn list(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
