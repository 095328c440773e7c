//! The files that a hook can open: those in the build dir and the deploy dir that are granted, at their own
//! absolute paths.
//!
//! A folder that a hook has opened is only a name here. Each path that a hook uses is resolved to a path below
//! the build dir or the deploy dir and checked against the grants. The operation then runs inside the granted
//! folder, which no `..` and no symlink can leave.

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

/// The path of a file or folder: its base, and the path below it, without `.`, `..` and a leading `/`.
pub(crate) type BasePath = (Base, PathBuf);

/// A folder that confines an operation, and the path inside of it.
struct OpenedPath {
    dir: Dir,
    path: String,
    /// Whether a symlink at the end of the path may be followed.
    follow: PathFlags,
}

/// The files of one call of a hook.
pub(crate) struct Files {
    grants: Grants,
    /// The build dir and the deploy dir, if they exist.
    roots: Vec<(Base, PathBuf)>,
    log: HookLog,
    effects: Effects,
    /// The folders that the hook has open, by descriptor.
    folders: HashMap<u32, BasePath>,
    /// How many folder listings it has open.
    open_listings: usize,
    /// The accesses that were logged.
    logged: HashSet<(Access, BasePath)>,
}

/// How many files a folder that a hook lists may have, and how many folders it may list at once: listings are
/// kept in Gatling's memory.
const MAX_ENTRIES: usize = 100_000;
const MAX_LISTINGS: usize = 8;

impl Files {
    pub(crate) fn new(grants: Grants, build_dir: &Path, deploy_dir: &Path, log: HookLog, effects: Effects) -> Self {
        let roots = [(Base::Build, build_dir.to_owned()), (Base::Deploy, deploy_dir.to_owned())];
        Self {
            grants,
            roots: roots.into_iter().filter(|(_, path)| path.is_dir()).collect(),
            log,
            effects,
            folders: HashMap::new(),
            open_listings: 0,
            logged: HashSet::new(),
        }
    }

    /// Resolves a path in a folder that the hook has open.
    fn resolve(&self, fd: &Fd, path: &str) -> FsResult<BasePath> {
        // A descriptor that is not in `folders` is a file.
        let (base, mut resolved) = self.folders.get(&fd.rep()).cloned().ok_or(ErrorCode::NotDirectory)?;
        if path.is_empty() {
            return Err(ErrorCode::NoEntry.into());
        }
        for component in Path::new(path).components() {
            match component {
                Component::Normal(name) => resolved.push(name),
                Component::CurDir => {}
                Component::ParentDir if resolved.pop() => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                    self.log
                        .denied("read", &format!("{path:?} is outside of the folders that hooks may open"))
                        .map_err(FsError::trap)?;
                    return Err(ErrorCode::NotPermitted.into());
                }
            }
        }
        Ok((base, resolved))
    }

    /// Checks that the hook has a grant for this access, and logs the result once per path.
    fn check_access(&mut self, access: Access, path: &BasePath) -> FsResult<()> {
        let permitted = self.grants.may_access(access, path.0, &path.1);
        let first = self.logged.insert((access, path.clone()));
        if permitted.is_ok() && access == Access::Write {
            self.effects.record();
        }
        match permitted {
            // A dry run lists it as a planned effect.
            Ok(()) if access == Access::Write && self.effects.is_dry_run() => Ok(()),
            Ok(()) if first => self
                .log
                .used(access.name(), &format!("{}s {}", access.name(), self.display_path(path)))
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

    fn display_path(&self, (base, path): &BasePath) -> String {
        let root = self.roots.iter().find(|(root, _)| root == base).map(|(_, root)| root.join(path));
        root.unwrap_or_else(|| path.clone()).display().to_string()
    }

    /// Opens the folder that confines an operation on a path.
    fn open_granted(&self, access: Access, path: &BasePath) -> FsResult<OpenedPath> {
        let (base, path) = path;
        let (perms, mode, mut follow) = match access {
            Access::Read => (FsPerms::ReadOnly, OpenMode::READ, PathFlags::SYMLINK_FOLLOW),
            Access::Write => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE, PathFlags::empty()),
        };
        let opened = |folder: OwnedFd, path: &Path, follow| {
            let path = path.to_str().ok_or(ErrorCode::IllegalByteSequence)?.to_owned();
            Ok(OpenedPath { dir: Dir::new(File::from(folder), perms, mode, false), path, follow })
        };
        let Some(confinement) = self.grants.confinement(access, *base, path) else {
            // A parent folder of a granted path: only the folder itself can be inspected.
            return opened(self.open_folder(*base, path)?, Path::new("."), PathFlags::empty());
        };
        if access == Access::Write {
            self.refuse_symlinks(*base, path)?;
        }
        let rest = path.strip_prefix(&confinement).unwrap_or(Path::new(""));
        if !rest.as_os_str().is_empty() {
            return opened(self.open_folder(*base, &confinement)?, rest, follow);
        }
        let Some((parent, name)) = path.parent().zip(path.file_name()) else {
            return opened(self.open_folder(*base, path)?, Path::new("."), follow);
        };
        // The granted path may be a folder or a file, or may not exist yet.
        if self.is_folder(*base, path) {
            return opened(self.open_folder(*base, path)?, Path::new("."), follow);
        }
        follow = PathFlags::empty();
        opened(self.open_folder(*base, parent)?, Path::new(name), follow)
    }

    /// Creates the parent folders of a granted path that is about to be created. The grant includes them.
    fn create_parents(&self, (base, path): &BasePath) -> FsResult<()> {
        let is_granted_itself = self.grants.confinement(Access::Write, *base, path).is_some_and(|it| it == *path);
        let Some(parent) = path.parent().filter(|_| is_granted_itself && !self.effects.is_dry_run()) else {
            return Ok(());
        };
        self.refuse_symlinks(*base, path)?;
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
        openat2(CWD, root, flags, Mode::empty(), ResolveFlags::empty()).map_err(fs_error)
    }

    /// How to resolve paths below a base. Symlinks in the build dir come from the push. Those in the deploy dir are
    /// Gatling's own, such as `current`.
    fn resolve_flags(base: Base) -> ResolveFlags {
        let flags = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match base {
            Base::Build => flags | ResolveFlags::NO_SYMLINKS,
            Base::Deploy => flags,
        }
    }

    /// Opens a folder below one of the roots.
    fn open_folder(&self, base: Base, path: &Path) -> FsResult<OwnedFd> {
        let root = self.open_root(base)?;
        if path.as_os_str().is_empty() {
            return Ok(root);
        }
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        openat2(&root, path, flags, Mode::empty(), Self::resolve_flags(base)).map_err(|error| {
            if error == Errno::LOOP || error == Errno::XDEV {
                self.log
                    .denied("read", &self.symlink_message(&(base, path.to_owned())))
                    .err()
                    .map_or_else(|| fs_error(error), FsError::trap)
            } else {
                fs_error(error)
            }
        })
    }

    fn is_folder(&self, base: Base, path: &Path) -> bool {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        self.open_root(base)
            .is_ok_and(|root| openat2(&root, path, flags, Mode::empty(), Self::resolve_flags(base)).is_ok())
    }

    /// Refuses a path through a symlink, which could redirect a write to another path, such as `.git`.
    fn refuse_symlinks(&self, base: Base, path: &Path) -> FsResult<()> {
        let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
        let root = self.open_root(base)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match openat2(&root, parent, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => {
                if error == Errno::LOOP {
                    let path = self.display_path(&(base, path.to_owned()));
                    let message =
                        format!("hooks may not write through a symlink, and a parent folder of {path} is one");
                    self.log.denied("write", &message).map_err(FsError::trap)?;
                }
                Err(fs_error(error))
            }
        }
    }

    /// Whether a file is the project's `.env`, even under another name.
    fn is_secret(&self, file: std::io::Result<Metadata>) -> bool {
        let secret = self.root(Base::Deploy).and_then(|root| std::fs::metadata(root.join(".env")).ok());
        let file = file.ok().map(|file| (file.dev(), file.ino()));
        secret.is_some_and(|secret| file == Some((secret.dev(), secret.ino())))
    }

    /// Refuses access to the project's `.env`.
    fn refuse_secret(&mut self, file: std::io::Result<Metadata>) -> FsResult<()> {
        if !self.is_secret(file) {
            return Ok(());
        }
        self.check_access(Access::Read, &(Base::Deploy, PathBuf::from(".env")))?;
        Err(ErrorCode::Access.into())
    }

    fn symlink_message(&self, path: &BasePath) -> String {
        format!("{}, or a parent folder of it, is a symlink", self.display_path(path))
    }

    /// Whether a path, or a parent folder of it, is a symlink.
    fn has_symlink(&self, (base, path): &BasePath) -> bool {
        let Some(root) = self.root(*base) else { return false };
        path.ancestors().any(|part| !part.as_os_str().is_empty() && root.join(part).is_symlink())
    }
}

fn fs_error(errno: Errno) -> FsError {
    ErrorCode::from(std::io::Error::from(errno)).into()
}

/// Whether a folder has at most [`MAX_ENTRIES`] files.
fn is_small(folder: &File) -> bool {
    rustix::fs::Dir::read_from(folder).is_ok_and(|entries| entries.take(MAX_ENTRIES + 1).count() <= MAX_ENTRIES)
}
