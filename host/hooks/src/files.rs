//! The files that a hook sees: the build dir and the deploy dir, under their own absolute paths,
//! and of these what is granted.
//!
//! A hook's folders are only names here. Each use of a path is worked out to a path below the
//! build dir or the deploy dir, held against the grants, and then carried out from within the
//! granted folder itself, which no `..` and no link leads out of.

mod wasi;

use std::collections::{HashMap, HashSet};
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::p2::bindings::filesystem::types::{ErrorCode, PathFlags};
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi::{FsPerms, OpenMode};

use crate::effects::Effects;
use crate::limits::HookLog;
use gatling_grants::{Access, Base, Grants};

pub(crate) use wasi::{FilesView, HasFiles};

type Fd = Resource<Descriptor>;

/// A folder's or file's place: what it is below, and its path there without `.`, `..` and `/`
/// at its beginning.
pub(crate) type Place = (Base, PathBuf);

/// Where a place is used from: a folder that nothing leads out of, and the path in it.
struct OpenedPath {
    dir: Dir,
    path: String,
    /// Whether a link at the end of the path may be followed.
    links: PathFlags,
}

/// The files of one call of a hook.
pub(crate) struct Files {
    grants: Grants,
    /// The build dir and the deploy dir, as far as they are there.
    roots: Vec<(Base, PathBuf)>,
    log: HookLog,
    effects: Effects,
    /// The folders that the hook holds, by their descriptors.
    folders: HashMap<u32, Place>,
    /// How many lists of folders it holds.
    lists: usize,
    /// What was logged already.
    said: HashSet<(Access, Place)>,
}

/// How many files a folder may have that a hook lists, and how many folders it may list at once:
/// the list is in Gatling's memory.
const MOST_ENTRIES: usize = 100_000;
const MOST_LISTS: usize = 8;

impl Files {
    pub(crate) fn new(grants: Grants, build_dir: &Path, deploy_dir: &Path, log: HookLog, effects: Effects) -> Self {
        let roots = [(Base::Build, build_dir.to_owned()), (Base::Deploy, deploy_dir.to_owned())];
        Self {
            grants,
            roots: roots.into_iter().filter(|(_, path)| path.is_dir()).collect(),
            log,
            effects,
            folders: HashMap::new(),
            lists: 0,
            said: HashSet::new(),
        }
    }

    /// The place of a path that a hook uses in a folder that it holds.
    fn place(&self, fd: &Fd, path: &str) -> FsResult<Place> {
        // What is in no folder's place is a file.
        let (base, mut place) = self.folders.get(&fd.rep()).cloned().ok_or(ErrorCode::NotDirectory)?;
        if path.is_empty() {
            return Err(ErrorCode::NoEntry.into());
        }
        for component in Path::new(path).components() {
            match component {
                Component::Normal(name) => place.push(name),
                Component::CurDir => {}
                Component::ParentDir if place.pop() => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                    self.log
                        .denied("read", &format!("{path:?} leads out of what hooks may open"))
                        .map_err(FsError::trap)?;
                    return Err(ErrorCode::NotPermitted.into());
                }
            }
        }
        Ok((base, place))
    }

    /// Sees to it that the hook may do this, and says so in the log, once for each place.
    fn permit(&mut self, access: Access, place: &Place) -> FsResult<()> {
        let permitted = self.grants.may_access(access, place.0, &place.1);
        let first = self.said.insert((access, place.clone()));
        if permitted.is_ok() && access == Access::Write {
            self.effects.note();
        }
        match permitted {
            // What a dry run would write is listed.
            Ok(()) if access == Access::Write && self.effects.are_listed() => Ok(()),
            Ok(()) if first => self
                .log
                .used(access.name(), &format!("{}s {}", access.name(), self.shown(place)))
                .map_err(FsError::trap),
            Ok(()) => Ok(()),
            Err(message) => {
                if first {
                    self.log.denied(access.name(), &message).map_err(FsError::trap)?;
                }
                Err(ErrorCode::Access.into())
            }
        }
    }

    fn shown(&self, (base, path): &Place) -> String {
        let root = self.roots.iter().find(|(root, _)| root == base).map(|(_, root)| root.join(path));
        root.unwrap_or_else(|| path.clone()).display().to_string()
    }

    /// Opens the folder that a permitted place can be used from.
    fn open_around(&self, access: Access, place: &Place) -> FsResult<OpenedPath> {
        let (base, path) = place;
        let (perms, mode, mut links) = match access {
            Access::Read => (FsPerms::ReadOnly, OpenMode::READ, PathFlags::SYMLINK_FOLLOW),
            Access::Write => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE, PathFlags::empty()),
        };
        let opened = |folder: OwnedFd, path: &Path, links| {
            let path = path.to_str().ok_or(ErrorCode::IllegalByteSequence)?.to_owned();
            Ok(OpenedPath { dir: Dir::new(File::from(folder), perms, mode, false), path, links })
        };
        let Some(confinement) = self.grants.confinement(access, *base, path) else {
            // On the way to what is granted a folder may be looked at: it, and nothing in it.
            return opened(self.open_folder(*base, path)?, Path::new("."), PathFlags::empty());
        };
        if access == Access::Write {
            self.refuse_links(*base, path)?;
        }
        let rest = path.strip_prefix(&confinement).unwrap_or(Path::new(""));
        if !rest.as_os_str().is_empty() {
            return opened(self.open_folder(*base, &confinement)?, rest, links);
        }
        let Some((parent, name)) = path.parent().zip(path.file_name()) else {
            return opened(self.open_folder(*base, path)?, Path::new("."), links);
        };
        // What is granted may be a folder or a file, or not be there yet.
        if self.is_folder(*base, path) {
            return opened(self.open_folder(*base, path)?, Path::new("."), links);
        }
        links = PathFlags::empty();
        opened(self.open_folder(*base, parent)?, Path::new(name), links)
    }

    /// Makes the folders on the way to what is granted itself and is about to be made: a grant that
    /// names it names the way to it.
    fn make_way(&self, (base, path): &Place) -> FsResult<()> {
        let is_granted_itself = self.grants.confinement(Access::Write, *base, path).is_some_and(|it| it == *path);
        let Some(parent) = path.parent().filter(|_| is_granted_itself && !self.effects.are_listed()) else {
            return Ok(());
        };
        self.refuse_links(*base, path)?;
        match self.open_folder(*base, parent) {
            Err(error) if error.downcast_ref() == Some(&ErrorCode::NoEntry) => {
                let root = self.root(*base).ok_or(ErrorCode::NoEntry)?;
                Ok(std::fs::create_dir_all(root.join(parent)).map_err(|error| ErrorCode::from(&error))?)
            }
            folder => folder.map(drop),
        }
    }

    fn root(&self, base: Base) -> Option<&Path> {
        self.roots.iter().find(|(root, _)| *root == base).map(|(_, root)| root.as_path())
    }

    fn open_root(&self, base: Base) -> FsResult<OwnedFd> {
        let root = self.root(base).ok_or(ErrorCode::NoEntry)?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        openat2(CWD, root, flags, Mode::empty(), ResolveFlags::empty()).map_err(fault)
    }

    /// How the way to a folder may lead. Links in the build dir come with what was pushed; those in
    /// the deploy dir are Gatling's own, `current` above all.
    fn ways(base: Base) -> ResolveFlags {
        let ways = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match base {
            Base::Build => ways | ResolveFlags::NO_SYMLINKS,
            Base::Deploy => ways,
        }
    }

    /// Opens a folder below one of the roots.
    fn open_folder(&self, base: Base, path: &Path) -> FsResult<OwnedFd> {
        let root = self.open_root(base)?;
        if path.as_os_str().is_empty() {
            return Ok(root);
        }
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        openat2(&root, path, flags, Mode::empty(), Self::ways(base)).map_err(|error| {
            if error == Errno::LOOP || error == Errno::XDEV {
                self.log
                    .denied("read", &self.behind_link(&(base, path.to_owned())))
                    .err()
                    .map_or_else(|| fault(error), FsError::trap)
            } else {
                fault(error)
            }
        })
    }

    fn is_folder(&self, base: Base, path: &Path) -> bool {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        self.open_root(base).is_ok_and(|root| openat2(&root, path, flags, Mode::empty(), Self::ways(base)).is_ok())
    }

    /// A link could lead a write into a place that the path doesn't name: `.git`, say.
    fn refuse_links(&self, base: Base, path: &Path) -> FsResult<()> {
        let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
        let root = self.open_root(base)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match openat2(&root, parent, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => {
                if error == Errno::LOOP {
                    let place = self.shown(&(base, path.to_owned()));
                    let message = format!("hooks may not write through a link, and one is on the way to {place}");
                    self.log.denied("write", &message).map_err(FsError::trap)?;
                }
                Err(fault(error))
            }
        }
    }

    /// Whether a file is the project's `.env`, by whatever name.
    fn is_secret(&self, file: std::io::Result<Metadata>) -> bool {
        let secret = self.root(Base::Deploy).and_then(|root| std::fs::metadata(root.join(".env")).ok());
        let file = file.ok().map(|file| (file.dev(), file.ino()));
        secret.is_some_and(|secret| file == Some((secret.dev(), secret.ino())))
    }

    /// Refuses what is the project's `.env`.
    fn refuse_secret(&mut self, file: std::io::Result<Metadata>) -> FsResult<()> {
        if !self.is_secret(file) {
            return Ok(());
        }
        self.permit(Access::Read, &(Base::Deploy, PathBuf::from(".env")))?;
        Err(ErrorCode::Access.into())
    }

    fn behind_link(&self, place: &Place) -> String {
        format!("a link is on the way to {}, or is that itself", self.shown(place))
    }

    /// Whether a link is on the way to a place, or is that itself.
    fn is_behind_link(&self, (base, path): &Place) -> bool {
        let Some(root) = self.root(*base) else { return false };
        path.ancestors().any(|part| !part.as_os_str().is_empty() && root.join(part).is_symlink())
    }
}

fn fault(errno: Errno) -> FsError {
    ErrorCode::from(std::io::Error::from(errno)).into()
}

/// Whether a folder has few enough files to be listed.
fn is_small(folder: &File) -> bool {
    rustix::fs::Dir::read_from(folder).is_ok_and(|entries| entries.take(MOST_ENTRIES + 1).count() <= MOST_ENTRIES)
}
