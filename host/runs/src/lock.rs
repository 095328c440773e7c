//! One run a project at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use anyhow::{Context, Result};

/// The lock of a project. The kernel frees it when its owner ends, however that ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock. Where another run has it, tells `waiting` for whom, and waits.
    ///
    /// # Errors
    /// When the file can't be made or locked.
    pub fn take(path: &Path, mut waiting: impl FnMut(&str)) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot open the lock {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting(&owner(&file));
                file.lock().with_context(|| format!("cannot wait for the lock {}", path.display()))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot take the lock {}", path.display()));
            }
        }
        Ok(Self { file })
    }

    /// Leaves word of who has the lock, for those who wait.
    pub fn announce(&mut self, owner: &str) {
        // Nothing depends on it: at worst those who wait are told less.
        _ = self.file.set_len(0).and_then(|()| self.file.rewind()).and_then(|()| self.file.write_all(owner.as_bytes()));
    }
}

fn owner(mut file: &File) -> String {
    let mut text = String::new();
    _ = file.read_to_string(&mut text);
    if text.is_empty() { "another run".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn the_second_waits_for_the_first_and_is_told_who_that_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let mut first = Lock::take(&path, |_| panic!("nobody has it")).expect("it is free");
        first.announce("the upgrade to 1a2b3c4");
        let (said, hear) = mpsc::channel();
        let waiter = std::thread::spawn(move || {
            let told = said.clone();
            let _second = Lock::take(&path, |owner| told.send(owner.to_owned()).expect("heard")).expect("it gets free");
            said.send("taken".to_owned()).expect("heard");
        });
        assert_eq!(hear.recv_timeout(Duration::from_secs(10)).expect("told"), "the upgrade to 1a2b3c4");
        assert!(hear.recv_timeout(Duration::from_millis(100)).is_err(), "it was taken while the first had it");
        drop(first);
        assert_eq!(hear.recv_timeout(Duration::from_secs(10)).expect("told"), "taken");
        waiter.join().expect("no panic");
    }
}
