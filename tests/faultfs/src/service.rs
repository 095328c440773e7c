//! The answers to the kernel's requests.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::FileType as NodeType;

use crate::faults::{Change, Faults};
use crate::node::{Body, State};
use crate::tree::{Changes, ROOT, Result, Tree};

/// The kernel remembers no name and no attribute: it asks each time, so it sees a crash at once.
const NO_TIME: Duration = Duration::ZERO;
const GENERATION: Generation = Generation(0);

/// What a mount consists of.
pub(crate) struct Core {
    pub(crate) tree: Tree,
    pub(crate) faults: Faults,
}

/// The core, shared by the thread that serves the kernel and the test.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Core>>);

impl Shared {
    pub(crate) fn new(core: Core) -> Self {
        Self(Arc::new(Mutex::new(core)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does and counts one changing operation, unless it has to fail.
    fn change<T>(&self, change: Change, act: impl FnOnce(&mut Tree) -> Result<T>) -> Result<T> {
        let mut core = self.lock();
        core.faults.check(change)?;
        let done = act(&mut core.tree)?;
        core.faults.count();
        Ok(done)
    }

    fn add(&self, request: &Request, folder: INodeNo, name: &OsStr, mode: u32, body: Body) -> Result<FileAttr> {
        if name.len() > 255 {
            return Err(Errno::ENAMETOOLONG);
        }
        let state = State::new(mode, request.uid(), request.gid(), body);
        self.change(Change::Grows, |tree| tree.add(folder.0, name, state))
    }
}

fn answer_entry(reply: ReplyEntry, result: Result<FileAttr>) {
    match result {
        Ok(attributes) => reply.entry(&NO_TIME, &attributes, GENERATION),
        Err(error) => reply.error(error),
    }
}

fn answer_attributes(reply: ReplyAttr, result: Result<FileAttr>) {
    match result {
        Ok(attributes) => reply.attr(&NO_TIME, &attributes),
        Err(error) => reply.error(error),
    }
}

fn answer(reply: ReplyEmpty, result: Result<()>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn time(time: TimeOrNow) -> SystemTime {
    match time {
        TimeOrNow::SpecificTime(time) => time,
        TimeOrNow::Now => SystemTime::now(),
    }
}

/// Locks, opened files and extended attributes are left to the kernel, which does without an answer.
impl Filesystem for Shared {
    fn lookup(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer_entry(reply, self.lock().tree.look_up(folder.0, name));
    }

    fn forget(&self, _: &Request, id: INodeNo, lookups: u64) {
        self.lock().tree.forget(id.0, lookups);
    }

    fn getattr(&self, _: &Request, id: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer_attributes(reply, self.lock().tree.attributes(id.0));
    }

    fn setattr(
        &self,
        _: &Request,
        id: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changes = Changes { mode, uid, gid, size, accessed: accessed.map(time), modified: modified.map(time) };
        let result = match size {
            Some(_) => self.change(Change::Shrinks, |tree| tree.set(id.0, changes)),
            None => self.lock().tree.set(id.0, changes),
        };
        answer_attributes(reply, result);
    }

    fn readlink(&self, _: &Request, id: INodeNo, reply: ReplyData) {
        match self.lock().tree.node(id.0).map(|node| &node.live.body) {
            Ok(Body::Symlink(target)) => reply.data(target.as_os_str().as_bytes()),
            Ok(_) => reply.error(Errno::EINVAL),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        folder: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let body = match NodeType::from_raw_mode(mode) {
            NodeType::RegularFile => Body::empty_file(),
            NodeType::Fifo => Body::Special(FileType::NamedPipe, 0),
            NodeType::Socket => Body::Special(FileType::Socket, 0),
            NodeType::CharacterDevice => Body::Special(FileType::CharDevice, device),
            NodeType::BlockDevice => Body::Special(FileType::BlockDevice, device),
            _ => return reply.error(Errno::EINVAL),
        };
        answer_entry(reply, self.add(request, folder, name, mode, body));
    }

    fn mkdir(&self, request: &Request, folder: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        answer_entry(reply, self.add(request, folder, name, mode, Body::empty_folder()));
    }

    fn symlink(&self, request: &Request, folder: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        answer_entry(reply, self.add(request, folder, name, 0o777, Body::symlink(target)));
    }

    fn create(&self, request: &Request, folder: INodeNo, name: &OsStr, mode: u32, _: u32, _: i32, reply: ReplyCreate) {
        match self.add(request, folder, name, mode, Body::empty_file()) {
            Ok(attributes) => {
                reply.created(&NO_TIME, &attributes, GENERATION, FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn link(&self, _: &Request, id: INodeNo, folder: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer_entry(reply, self.change(Change::Grows, |tree| tree.link(id.0, folder.0, name)));
    }

    fn unlink(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.change(Change::Shrinks, |tree| tree.remove(folder.0, name)));
    }

    fn rmdir(&self, _: &Request, folder: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.change(Change::Shrinks, |tree| tree.remove(folder.0, name)));
    }

    fn rename(
        &self,
        _: &Request,
        folder: INodeNo,
        name: &OsStr,
        new_folder: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let rename = |tree: &mut Tree| tree.rename((folder.0, name), (new_folder.0, new_name), flags);
        answer(reply, self.change(Change::Shrinks, rename));
    }

    fn read(
        &self,
        _: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.lock().tree.read(id.0, offset, size) {
            Ok(data) => reply.data(data),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        // With O_SYNC or O_DSYNC, an fsync follows from the kernel.
        match self.change(Change::Grows, |tree| tree.write(id.0, offset, data)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn fsync(&self, _: &Request, id: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(reply, self.change(Change::Grows, |tree| tree.sync(id.0)));
    }

    fn opendir(&self, _: &Request, id: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.lock().tree.open_folder(id.0) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, id: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut core = self.lock();
        let listing = match offset {
            0 => core.tree.rewind(id.0, handle.0).and_then(|()| core.tree.listing(handle.0)),
            _ => core.tree.listing(handle.0),
        };
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) => return reply.error(error),
        };
        // Programs do not use the number of the folder above.
        let dots = [(OsStr::new("."), id.0), (OsStr::new(".."), ROOT)];
        let names = dots.into_iter().chain(listing.iter().map(|(name, id)| (name.as_os_str(), *id)));
        for (next, (name, id)) in (1..).zip(names).skip(offset as usize) {
            let Ok(node) = core.tree.node(id) else { continue };
            if reply.add(INodeNo(id), next, node.live.body.kind(), name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.lock().tree.close_folder(handle.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, id: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(
            reply,
            self.change(Change::Shrinks, |tree| {
                tree.listing(handle.0)?;
                tree.sync(id.0)
            }),
        );
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        const BLOCKS: u64 = 1 << 28;
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, 1 << 30, 1 << 30, 4096, 255, 4096);
    }
}
