//! Allows one run per project at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// The lock of a project. The kernel releases it when its owner exits for any reason.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

/// How often to look whether a lock is free.
const WAIT: Duration = Duration::from_millis(50);

impl Lock {
    /// Takes the lock. While somebody holds it, calls `waiting` once, and then `keep_waiting` from time to time.
    ///
    /// # Errors
    /// That of `keep_waiting`, which ends the wait; or when the lock cannot be taken.
    pub fn take_while(path: &Path, waiting: impl FnOnce(&str), keep_waiting: impl Fn() -> Result<()>) -> Result<Self> {
        let mut waiting = Some(waiting);
        loop {
            match Self::try_take(path)? {
                Ok(lock) => return Ok(lock),
                Err(owner) => {
                    if let Some(waiting) = waiting.take() {
                        waiting(&owner);
                    }
                }
            }
            thread::sleep(WAIT);
            keep_waiting()?;
        }
    }

    /// Waits until nobody holds the lock of an existing file, which may be on a read-only file system. Calls `waiting` if
    /// somebody does.
    ///
    /// # Errors
    /// When it cannot be opened or waited for.
    pub fn wait(path: &Path, waiting: impl FnOnce()) -> Result<()> {
        let cannot = || format!("cannot wait for the lock {}", path.display());
        let file = File::open(path).with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock().with_context(cannot)
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
        }
    }

    /// Takes the lock if it is free; otherwise returns the description of its owner.
    ///
    /// # Errors
    /// When it cannot be taken for another reason.
    pub fn try_take(path: &Path) -> Result<Result<Self, String>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Ok(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(Err(owner(&file))),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot take the lock {}", path.display()))
            }
        }
    }

    /// Takes the lock. If another run holds it, calls `waiting` with the owner's description, and waits.
    ///
    /// # Errors
    /// If the file cannot be created or locked.
    pub fn take(path: &Path, waiting: impl FnOnce(&str)) -> Result<Self> {
        Self::take_while(path, waiting, || Ok(()))
    }

    /// Writes a description of the owner into the file, for runs that wait.
    pub fn announce(&mut self, owner: &str) {
        // An error is ignored: it only means that waiting runs show less.
        _ = self.file.set_len(0).and_then(|()| self.file.rewind()).and_then(|()| self.file.write_all(owner.as_bytes()));
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).with_context(|| format!("cannot open the lock {}", path.display()))
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
    fn a_second_owner_waits_for_the_first_and_gets_its_description() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let mut first = Lock::take(&path, |_| panic!("nobody has it")).expect("it is free");
        first.announce("the upgrade to 1a2b3c4");
        let (send, receive) = mpsc::channel();
        let waiter = std::thread::spawn(move || {
            let waiting = send.clone();
            let _second = Lock::take(&path, |owner| waiting.send(owner.to_owned()).expect("the test receives it"))
                .expect("it is released");
            send.send("taken".to_owned()).expect("the test receives it");
        });
        assert_eq!(receive.recv_timeout(Duration::from_secs(10)).expect("it waits"), "the upgrade to 1a2b3c4");
        assert!(receive.recv_timeout(Duration::from_millis(100)).is_err(), "it was taken while the first held it");
        drop(first);
        assert_eq!(receive.recv_timeout(Duration::from_secs(10)).expect("it is taken"), "taken");
        waiter.join().expect("no panic");
    }
}
