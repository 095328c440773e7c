//! A file system for crash tests: it loses what a power cut would lose, and fails on demand.
//!
//! It is in memory and is served by a thread of the test. It keeps two trees: the live one, which processes see, and
//! the durable one, which [`FaultFs::crash`] goes back to. What is durable, [`Durability`] tells. Only root can mount
//! it, see [`FaultFs::is_available`]. The process that mounts it must not map its files into memory.
//!
//! ```
//! # fn main() -> anyhow::Result<()> {
//! # if !gatling_faultfs::FaultFs::is_available() { return Ok(()) }
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let disk = gatling_faultfs::FaultFs::mount(folder)?;
//! std::fs::write(folder.join("file"), "data")?;
//! disk.crash();
//! assert!(!folder.join("file").exists());
//! # Ok(())
//! # }
//! ```

mod faults;
mod mount;
mod node;
mod service;
mod tree;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::{fs, io};

use anyhow::{Context, Result};
use fuser::{Config, INodeNo, Notifier, Session, SessionACL};
pub use rustix::io::Errno;

use crate::faults::Faults;
use crate::node::{Body, State};
use crate::service::{Core, Shared};
use crate::tree::Tree;

/// What is still there after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Only what POSIX promises. A file's data, size and mode are as of its last fsync: a file without one is empty. A
    /// folder's names, and what a symlink points to, are as of the last fsync of that folder.
    ///
    /// After a rename between folders of which only one was synced, a file has both names or none. A folder then has
    /// only one of both.
    #[default]
    Strict,
    /// What a file system with an ordered journal keeps after its last commit. Names, owners, modes and truncations are
    /// durable at once, a file's data only after its fsync. A rename onto an old name, without an fsync of the new file
    /// before, therefore gives an empty file.
    Ordered,
}

/// A mounted file system. Dropping it unmounts it, even if it is busy.
pub struct FaultFs {
    mountpoint: PathBuf,
    shared: Shared,
    notifier: Notifier,
    thread: Option<JoinHandle<()>>,
}

impl FaultFs {
    /// Mounts an empty file system with [`Durability::Strict`]. Its root has the owner and the mode of `mountpoint`.
    pub fn mount(mountpoint: &Path) -> Result<Self> {
        Self::mount_with(mountpoint, Durability::Strict)
    }

    /// Mounts an empty file system.
    pub fn mount_with(mountpoint: &Path, durability: Durability) -> Result<Self> {
        let mountpoint = mountpoint.canonicalize().with_context(|| format!("cannot find {}", mountpoint.display()))?;
        let root = fs::metadata(&mountpoint)?;
        let root = State::new(root.mode(), root.uid(), root.gid(), Body::empty_folder());
        let shared = Shared::new(Core { tree: Tree::new(durability, root), faults: Faults::default() });

        let device = mount::attach(&mountpoint)?;
        let serve = || {
            let session = Session::from_fd(shared.clone(), device, SessionACL::All, Config::default())?;
            let notifier = session.notifier();
            let served = mountpoint.clone();
            let thread = thread::Builder::new().name("faultfs".to_owned()).spawn(move || {
                if session.run().is_err() {
                    // Nobody serves the mount any more. Without this, who uses it would wait for ever.
                    mount::detach(&served);
                }
            })?;
            io::Result::Ok((notifier, thread))
        };
        let (notifier, thread) =
            serve().inspect_err(|_| mount::detach(&mountpoint)).context("cannot serve the mount")?;
        Ok(Self { mountpoint, shared, notifier, thread: Some(thread) })
    }

    /// Whether this process may mount: it is root, and there is a `/dev/fuse`.
    pub fn is_available() -> bool {
        tempfile::tempdir().is_ok_and(|folder| Self::mount(folder.path()).is_ok())
    }

    /// A power cut: all that is not durable is lost, at once. What is open gives EIO from now on, to read too.
    /// Processes are not ended.
    ///
    /// Inode numbers, which a power cut would keep, change.
    pub fn crash(&self) {
        let lost = self.shared.lock().tree.crash();
        for id in lost {
            // Without this, what is open would still be read from memory. It fails for what nobody has open.
            let _ = self.notifier.inval_inode(INodeNo(id), 0, 0);
        }
    }

    /// Makes all that is there durable. The system calls `sync` and `syncfs` do not reach this file system.
    pub fn sync(&self) {
        self.shared.lock().tree.sync_all();
    }

    /// Lets changing operations fail with `errno`, once there were `operations` more of them.
    ///
    /// If the disk or the quota is full ([`Errno::NOSPC`], [`Errno::DQUOT`]), only what needs space fails: create,
    /// write, mkdir, symlink, link and fsync of a file. With another error, rename, unlink, rmdir, a change of a size
    /// and fsync of a folder fail too. Reads do not fail, nor do changes of a mode, an owner or a time.
    pub fn fail_after(&self, operations: u64, errno: Errno) {
        self.shared.lock().faults.fail_after(operations, errno);
    }

    /// Ends the errors of [`FaultFs::fail_after`].
    pub fn heal(&self) {
        self.shared.lock().faults.heal();
    }

    /// How many operations changed something until now, without those that failed: create, write, mkdir, symlink, link,
    /// rename, unlink, rmdir, a change of a size, fsync of a file or a folder.
    pub fn operations(&self) -> u64 {
        self.shared.lock().faults.operations()
    }
}

impl Drop for FaultFs {
    fn drop(&mut self) {
        mount::detach(&self.mountpoint);
        if let Some(thread) = self.thread.take() {
            // Its error does not matter: the mount is gone.
            let _ = thread.join();
        }
    }
}
