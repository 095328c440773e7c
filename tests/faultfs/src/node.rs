//! One file, folder, link or other node: what it is now, and what a crash leaves of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{Errno, FileAttr, FileType, INodeNo};

/// The largest file. All of them are in memory.
const MAX_FILE: u64 = 1 << 30;

/// A folder's names and the numbers of their nodes.
pub(crate) type Entries = BTreeMap<OsString, u64>;

/// What a node holds. To copy it is cheap: the copies share it until one of them changes.
#[derive(Clone)]
pub(crate) enum Body {
    File(Arc<Vec<u8>>),
    Folder(Arc<Entries>),
    Symlink(Arc<PathBuf>),
    /// A socket, a pipe or a device.
    Special(FileType, u32),
}

impl Body {
    pub(crate) fn empty_file() -> Self {
        Self::File(Arc::default())
    }

    pub(crate) fn empty_folder() -> Self {
        Self::Folder(Arc::default())
    }

    pub(crate) fn symlink(target: &Path) -> Self {
        Self::Symlink(Arc::new(target.to_owned()))
    }

    pub(crate) fn kind(&self) -> FileType {
        match self {
            Self::File(_) => FileType::RegularFile,
            Self::Folder(_) => FileType::Directory,
            Self::Symlink(_) => FileType::Symlink,
            Self::Special(kind, _) => *kind,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File(contents) => contents.len() as u64,
            Self::Symlink(target) => target.as_os_str().len() as u64,
            Self::Folder(_) | Self::Special(..) => 0,
        }
    }

    pub(crate) fn resize(&mut self, size: u64) -> Result<(), Errno> {
        let Self::File(contents) = self else { return Err(Errno::EINVAL) };
        if size > MAX_FILE {
            return Err(Errno::EFBIG);
        }
        Arc::make_mut(contents).resize(size as usize, 0);
        Ok(())
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let end = offset.saturating_add(data.len() as u64);
        if end > self.size() {
            self.resize(end)?;
        }
        let Self::File(contents) = self else { return Err(Errno::EINVAL) };
        Arc::make_mut(contents)[offset as usize..end as usize].copy_from_slice(data);
        Ok(())
    }
}

/// A node at one moment.
#[derive(Clone)]
pub(crate) struct State {
    /// The permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) accessed: SystemTime,
    pub(crate) modified: SystemTime,
    /// When anything of it changed, as a mode too.
    pub(crate) changed: SystemTime,
    pub(crate) body: Body,
}

impl State {
    pub(crate) fn new(mode: u32, uid: u32, gid: u32, body: Body) -> Self {
        let now = SystemTime::now();
        Self { mode: mode & 0o7777, uid, gid, accessed: now, modified: now, changed: now, body }
    }

    pub(crate) fn touch(&mut self) {
        self.modified = SystemTime::now();
        self.changed = self.modified;
    }
}

pub(crate) struct Node {
    /// What processes see.
    pub(crate) live: State,
    /// As of the last sync.
    pub(crate) durable: State,
    /// How many names it has. A folder is counted as one, whatever is in it.
    pub(crate) links: u32,
    /// How often the kernel was told of it and did not forget it: while it is open, at least once.
    pub(crate) lookups: u64,
}

impl Node {
    /// A node that was never synced: a file in it has no data yet.
    pub(crate) fn new(state: State) -> Self {
        Self { durable: state.clone(), live: state, links: 1, lookups: 0 }
    }

    pub(crate) fn attributes(&self, id: u64) -> FileAttr {
        let State { mode, uid, gid, accessed, modified, changed, ref body } = self.live;
        FileAttr {
            ino: INodeNo(id),
            size: body.size(),
            blocks: body.size().div_ceil(512),
            atime: accessed,
            mtime: modified,
            ctime: changed,
            crtime: changed,
            kind: body.kind(),
            perm: mode as u16,
            nlink: self.links,
            uid,
            gid,
            rdev: if let Body::Special(_, device) = body { *device } else { 0 },
            blksize: 4096,
            flags: 0,
        }
    }
}
