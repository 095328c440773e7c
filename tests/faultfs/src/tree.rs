//! All nodes, what changes them, and the crash.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsStr;
use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{Errno, FileAttr, FileType, RenameFlags};

use crate::Durability;
use crate::node::{Body, Entries, Node, State};

pub(crate) type Result<T> = std::result::Result<T, Errno>;

/// The number of the root, before and after a crash.
pub(crate) const ROOT: u64 = 1;

/// Nodes without a name are looked for once they may hold that many bytes.
const ENOUGH_GARBAGE: u64 = 64 << 20;

const SET_GROUP_ID: u32 = 0o2000;

/// What `setattr` changes.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) size: Option<u64>,
    pub(crate) accessed: Option<SystemTime>,
    pub(crate) modified: Option<SystemTime>,
}

pub(crate) struct Tree {
    durability: Durability,
    nodes: HashMap<u64, Node>,
    /// Numbers are not used twice, so that what the kernel knows of a lost node cannot be taken for another one.
    next: u64,
    /// What each open folder contained when it was opened.
    listings: HashMap<u64, Arc<Entries>>,
    garbage: u64,
}

impl Tree {
    pub(crate) fn new(durability: Durability, root: State) -> Self {
        let nodes = HashMap::from([(ROOT, Node::new(root))]);
        Self { durability, nodes, next: ROOT + 1, listings: HashMap::new(), garbage: 0 }
    }

    /// A node that the kernel knows. It is unknown here only if a crash took it.
    pub(crate) fn node(&self, id: u64) -> Result<&Node> {
        self.nodes.get(&id).ok_or(Errno::EIO)
    }

    fn node_mut(&mut self, id: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&id).ok_or(Errno::EIO)
    }

    fn entries(&self, folder: u64) -> Result<&Arc<Entries>> {
        match &self.node(folder)?.live.body {
            Body::Folder(entries) => Ok(entries),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn entries_mut(&mut self, folder: u64) -> Result<&mut Entries> {
        let state = &mut self.node_mut(folder)?.live;
        state.touch();
        match &mut state.body {
            Body::Folder(entries) => Ok(Arc::make_mut(entries)),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn find(&self, folder: u64, name: &OsStr) -> Result<u64> {
        self.entries(folder)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub(crate) fn attributes(&self, id: u64) -> Result<FileAttr> {
        Ok(self.node(id)?.attributes(id))
    }

    /// The attributes for an answer by which the kernel gets to know the node.
    fn introduce(&mut self, id: u64) -> Result<FileAttr> {
        self.node_mut(id)?.lookups += 1;
        self.attributes(id)
    }

    pub(crate) fn look_up(&mut self, folder: u64, name: &OsStr) -> Result<FileAttr> {
        let id = self.find(folder, name)?;
        self.introduce(id)
    }

    pub(crate) fn forget(&mut self, id: u64, lookups: u64) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.lookups = node.lookups.saturating_sub(lookups);
        }
    }

    pub(crate) fn add(&mut self, folder: u64, name: &OsStr, mut state: State) -> Result<FileAttr> {
        let above = &self.node(folder)?.live;
        if above.mode & SET_GROUP_ID != 0 {
            state.gid = above.gid;
            if state.body.kind() == FileType::Directory {
                state.mode |= SET_GROUP_ID;
            }
        }
        if self.entries(folder)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let id = self.next;
        self.next += 1;
        self.entries_mut(folder)?.insert(name.to_owned(), id);
        self.nodes.insert(id, Node::new(state));
        self.introduce(id)
    }

    pub(crate) fn link(&mut self, id: u64, folder: u64, name: &OsStr) -> Result<FileAttr> {
        self.node(id)?;
        if self.entries(folder)?.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.entries_mut(folder)?.insert(name.to_owned(), id);
        let node = self.node_mut(id)?;
        node.links += 1;
        node.live.changed = SystemTime::now();
        self.introduce(id)
    }

    pub(crate) fn remove(&mut self, folder: u64, name: &OsStr) -> Result<()> {
        let id = self.find(folder, name)?;
        self.check_empty(id)?;
        self.entries_mut(folder)?.remove(name);
        self.drop_link(id)
    }

    fn check_empty(&self, id: u64) -> Result<()> {
        match &self.node(id)?.live.body {
            Body::Folder(entries) if !entries.is_empty() => Err(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    /// The kernel has checked `RENAME_NOREPLACE`, and that no folder is moved into itself or onto a file.
    pub(crate) fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr), flags: RenameFlags) -> Result<()> {
        let exchange = flags.contains(RenameFlags::RENAME_EXCHANGE);
        if flags.contains(RenameFlags::RENAME_WHITEOUT) {
            return Err(Errno::EINVAL);
        }
        let id = self.find(from.0, from.1)?;
        let replaced = self.entries(to.0)?.get(to.1).copied();
        match replaced {
            None if exchange => return Err(Errno::ENOENT),
            Some(other) if other == id => return Ok(()),
            Some(other) if !exchange => self.check_empty(other)?,
            _ => {}
        }
        self.entries_mut(from.0)?.remove(from.1);
        self.entries_mut(to.0)?.insert(to.1.to_owned(), id);
        self.node_mut(id)?.live.changed = SystemTime::now();
        match replaced {
            Some(other) if exchange => {
                self.entries_mut(from.0)?.insert(from.1.to_owned(), other);
                Ok(())
            }
            Some(other) => self.drop_link(other),
            None => Ok(()),
        }
    }

    pub(crate) fn read(&self, id: u64, offset: u64, size: u32) -> Result<&[u8]> {
        let Body::File(contents) = &self.node(id)?.live.body else { return Err(Errno::EINVAL) };
        let rest = contents.get(offset as usize..).unwrap_or_default();
        Ok(&rest[..rest.len().min(size as usize)])
    }

    pub(crate) fn write(&mut self, id: u64, offset: u64, data: &[u8]) -> Result<()> {
        let node = self.node_mut(id)?;
        node.live.body.write(offset, data)?;
        node.live.touch();
        Ok(())
    }

    pub(crate) fn set(&mut self, id: u64, changes: Changes) -> Result<FileAttr> {
        let ordered = self.durability == Durability::Ordered;
        let node = self.node_mut(id)?;
        if let Some(size) = changes.size {
            node.live.body.resize(size)?;
            node.live.touch();
            if ordered {
                node.durable.body.resize(size)?;
            }
        }
        let state = &mut node.live;
        state.mode = changes.mode.map_or(state.mode, |mode| mode & 0o7777);
        state.uid = changes.uid.unwrap_or(state.uid);
        state.gid = changes.gid.unwrap_or(state.gid);
        state.accessed = changes.accessed.unwrap_or(state.accessed);
        state.modified = changes.modified.unwrap_or(state.modified);
        state.changed = SystemTime::now();
        self.attributes(id)
    }

    /// Makes a node durable: a file's data, size and mode, or a folder's names.
    pub(crate) fn sync(&mut self, id: u64) -> Result<()> {
        let node = self.node_mut(id)?;
        node.durable = node.live.clone();
        Ok(())
    }

    pub(crate) fn sync_all(&mut self) {
        self.nodes.values_mut().for_each(|node| node.durable = node.live.clone());
    }

    pub(crate) fn open_folder(&mut self, folder: u64) -> Result<u64> {
        let entries = Arc::clone(self.entries(folder)?);
        let handle = self.next;
        self.next += 1;
        self.listings.insert(handle, entries);
        Ok(handle)
    }

    /// The listing of an open folder: a crash ends it, even that of the root.
    pub(crate) fn listing(&self, handle: u64) -> Result<&Arc<Entries>> {
        self.listings.get(&handle).ok_or(Errno::EIO)
    }

    /// Reads an open folder's names anew.
    pub(crate) fn rewind(&mut self, folder: u64, handle: u64) -> Result<()> {
        let entries = Arc::clone(self.entries(folder)?);
        *self.listings.get_mut(&handle).ok_or(Errno::EIO)? = entries;
        Ok(())
    }

    pub(crate) fn close_folder(&mut self, handle: u64) {
        self.listings.remove(&handle);
    }

    /// What a crash would leave of a node.
    fn survivor(&self, node: &Node) -> State {
        match (self.durability, &node.live.body) {
            (Durability::Strict, _) => node.durable.clone(),
            (Durability::Ordered, Body::File(_)) => State { body: node.durable.body.clone(), ..node.live.clone() },
            (Durability::Ordered, _) => node.live.clone(),
        }
    }

    /// Makes the durable tree the live one. The result is the numbers by which the kernel knew the nodes until now:
    /// all survivors but the root have new ones.
    pub(crate) fn crash(&mut self) -> Vec<u64> {
        let before = mem::take(&mut self.nodes);
        let mut numbers = HashMap::from([(ROOT, ROOT)]);
        let mut queue = VecDeque::from([ROOT]);
        while let Some(old) = queue.pop_front() {
            let mut state = self.survivor(&before[&old]);
            if let Body::Folder(entries) = &mut state.body {
                let mut kept = Entries::new();
                for (name, child) in entries.iter() {
                    let Some(node) = before.get(child) else { continue };
                    // A folder that was moved may be in two folders, or even in itself: the first name counts.
                    if node.live.body.kind() == FileType::Directory && numbers.contains_key(child) {
                        continue;
                    }
                    let number = *numbers.entry(*child).or_insert_with(|| {
                        queue.push_back(*child);
                        self.next += 1;
                        self.next - 1
                    });
                    kept.insert(name.clone(), number);
                }
                *entries = Arc::new(kept);
            }
            self.nodes.insert(numbers[&old], Node { links: 0, ..Node::new(state) });
        }
        self.count_links();
        self.listings.clear();
        self.garbage = 0;
        before.into_iter().filter(|(id, node)| *id != ROOT && node.lookups > 0).map(|(id, _)| id).collect()
    }

    fn count_links(&mut self) {
        let names = self.nodes.values().filter_map(|node| match &node.live.body {
            Body::Folder(entries) => Some(Arc::clone(entries)),
            _ => None,
        });
        for child in names.collect::<Vec<_>>().iter().flat_map(|entries| entries.values()).chain([&ROOT]) {
            if let Some(node) = self.nodes.get_mut(child) {
                node.links += 1;
            }
        }
    }

    fn drop_link(&mut self, id: u64) -> Result<()> {
        let node = self.node_mut(id)?;
        node.links -= 1;
        node.live.changed = SystemTime::now();
        if node.links == 0 {
            self.garbage += node.live.body.size() + 1024;
            if self.garbage > ENOUGH_GARBAGE {
                self.collect();
            }
        }
        Ok(())
    }

    /// Drops the nodes that no process and no crash can reach.
    fn collect(&mut self) {
        self.garbage = 0;
        let mut queue: Vec<u64> = self.nodes.iter().filter(|(_, node)| node.lookups > 0).map(|(id, _)| *id).collect();
        queue.push(ROOT);
        let mut reached = HashSet::new();
        while let Some(id) = queue.pop() {
            let Some(node) = self.nodes.get(&id).filter(|_| reached.insert(id)) else { continue };
            for state in [&node.live, &self.survivor(node)] {
                if let Body::Folder(entries) = &state.body {
                    queue.extend(entries.values());
                }
            }
        }
        self.nodes.retain(|id, _| reached.contains(id));
    }
}
