//! WASI's file system interface. Each function checks the grants, and then carries out the operation or, in a
//! dry run, lists it.

use std::fs::File;
use std::path::PathBuf;

use wasmtime::component::{HasData, Resource, ResourceTableError};
use wasmtime_wasi::filesystem::{Descriptor, Dir, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode,
    Filesize, HostDescriptor, HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};
use wasmtime_wasi::{FsPerms, OpenMode};

use super::{BasePath, Fd, Files, MAX_ENTRIES, MAX_LISTINGS, OpenedPath, is_small};
use crate::effects::PlannedEffect;
use crate::limits::LimitHit;
use gatling_grants::Access;

/// Gives wasmtime access to the files of a call.
pub(crate) struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = FilesView<'a>;
}

pub(crate) struct FilesView<'a> {
    pub(crate) wasi: WasiFilesystemCtxView<'a>,
    pub(crate) files: &'a mut Files,
}

impl FilesView<'_> {
    /// Runs an operation on a path, inside of the granted folder.
    async fn in_granted_folder<T>(
        &mut self,
        access: Access,
        target: &BasePath,
        work: impl AsyncFnOnce(&mut WasiFilesystemCtxView<'_>, Fd, String, PathFlags) -> FsResult<T>,
    ) -> FsResult<T> {
        let OpenedPath { dir, path, follow } = self.files.open_granted(access, target)?;
        let fd = self.wasi.table.push(Descriptor::Dir(dir)).map_err(FsError::trap)?;
        let result = work(&mut self.wasi, Resource::new_own(fd.rep()), path, follow).await;
        self.wasi.table.delete(fd)?;
        match result {
            // WASI reports a full handle table as lack of memory, which would mislead the hook's author.
            Err(error) if error.downcast_ref() == Some(&ErrorCode::InsufficientMemory) => {
                Err(FsError::trap(ResourceTableError::Full))
            }
            Err(error) if error.downcast_ref() == Some(&ErrorCode::NotPermitted) => {
                if self.files.has_symlink(target) {
                    self.files.log.denied("read", &self.files.symlink_message(target)).map_err(FsError::trap)?;
                }
                Err(error)
            }
            result => result,
        }
    }

    /// In a dry run, lists a write and returns true; it then counts as successful. A dry run changes no file, so
    /// hooks read the files as they are.
    fn is_only_planned(&mut self, target: &BasePath, how: &str) -> FsResult<bool> {
        if self.files.effects.is_dry_run() && self.files.has_symlink(target) {
            self.files.log.denied("write", &self.files.symlink_message(target)).map_err(FsError::trap)?;
            return Err(ErrorCode::NotPermitted.into());
        }
        Ok(self.files.effects.plan(|| PlannedEffect::Write(format!("{how} {}", self.files.display_path(target)))))
    }

    /// Opens a temporary file, for writes of a dry run.
    fn open_scratch_file(&mut self) -> FsResult<Fd> {
        let file = tempfile::tempfile().map_err(|error| ErrorCode::from(&error))?;
        let file =
            wasmtime_wasi::filesystem::File::new(file, FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE, false);
        self.wasi.table.push(Descriptor::File(file)).map_err(FsError::trap)
    }

    /// Records which folder a descriptor stands for.
    fn track(&mut self, fd: Fd, target: BasePath) -> FsResult<Fd> {
        if matches!(self.wasi.table.get(&fd)?, Descriptor::Dir(_)) {
            self.files.folders.insert(fd.rep(), target);
        }
        Ok(fd)
    }

    /// Refuses to move a symlink: in another folder it could point outside of the granted folders.
    async fn refuse_symlink(&mut self, target: &BasePath) -> FsResult<()> {
        let found = self.in_granted_folder(Access::Write, target, async |wasi, dir, path, _| {
            wasi.stat_at(dir, PathFlags::empty(), path).await
        });
        if found.await?.type_ == DescriptorType::SymbolicLink {
            let message = format!("hooks may not move symlinks, and {} is one", self.files.display_path(target));
            self.files.log.denied("read", &message).map_err(FsError::trap)?;
            return Err(ErrorCode::NotPermitted.into());
        }
        Ok(())
    }

    /// Checks that the metadata of a path may be read: of granted paths and their parent folders.
    fn check_stat(&mut self, target: &BasePath) -> FsResult<()> {
        let may_read = self.files.grants.may_access(Access::Read, target.0, &target.1).is_ok();
        let is_parent = !may_read && self.files.grants.contains_granted(target.0, &target.1);
        if is_parent { Ok(()) } else { self.files.check_access(Access::Read, target) }
    }

    /// Gives a file a new path, by `work`, instead of the old one or in addition to it.
    async fn give_new_path(
        &mut self,
        verb: &str,
        preposition: &str,
        (fd, path): (Fd, String),
        (new_fd, new_path): (Fd, String),
        work: impl AsyncFnOnce(&mut WasiFilesystemCtxView<'_>, (Fd, String), (Fd, String)) -> FsResult<()>,
    ) -> FsResult<()> {
        let (old, new) = (self.files.resolve(&fd, &path)?, self.files.resolve(&new_fd, &new_path)?);
        for target in [&old, &new] {
            self.files.check_access(Access::Write, target)?;
        }
        // The new path could be readable when the old one is not.
        self.files.check_access(Access::Read, &old)?;
        if self.is_only_planned(&new, &format!("{verb} {} {preposition}", self.files.display_path(&old)))? {
            return Ok(());
        }
        self.refuse_symlink(&old).await?;
        self.files.create_parents(&new)?;
        let OpenedPath { dir, path: new_path, .. } = self.files.open_granted(Access::Write, &new)?;
        let new_fd = self.wasi.table.push(Descriptor::Dir(dir))?;
        let rep = new_fd.rep();
        let done = self
            .in_granted_folder(Access::Write, &old, async |wasi, dir, path, _| {
                work(wasi, (dir, path), (Resource::new_own(rep), new_path)).await
            })
            .await;
        self.wasi.table.delete(new_fd)?;
        done
    }
}

impl preopens::Host for FilesView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let mut folders = Vec::new();
        for (base, path) in self.files.roots.clone() {
            let Ok(file) = File::open(&path) else { continue };
            let fd = self.wasi.table.push(Descriptor::Dir(Dir::new(file, FsPerms::ReadOnly, OpenMode::READ, false)))?;
            self.files.folders.insert(fd.rep(), (base, PathBuf::new()));
            folders.push((fd, path.display().to_string()));
        }
        Ok(folders)
    }
}

impl types::Host for FilesView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.wasi.convert_error_code(error)
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.wasi.filesystem_error_code(error)
    }
}

impl HostDescriptor for FilesView<'_> {
    async fn advise(&mut self, fd: Fd, offset: Filesize, len: Filesize, advice: Advice) -> FsResult<()> {
        self.wasi.advise(fd, offset, len, advice).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.wasi.sync_data(fd).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<DescriptorFlags> {
        self.wasi.get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<DescriptorType> {
        self.wasi.get_type(fd).await
    }

    async fn set_size(&mut self, fd: Fd, size: Filesize) -> FsResult<()> {
        self.wasi.set_size(fd, size).await
    }

    async fn set_times(&mut self, fd: Fd, accessed: NewTimestamp, modified: NewTimestamp) -> FsResult<()> {
        // False for folders and for files that were opened for reading.
        let writable = match self.wasi.table.get(&fd)? {
            Descriptor::File(file) => !file.perms.write_not_permitted(),
            Descriptor::Dir(_) => false,
        };
        if !writable {
            return Err(ErrorCode::NotPermitted.into());
        }
        self.wasi.set_times(fd, accessed, modified).await
    }

    async fn read(&mut self, fd: Fd, len: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)> {
        self.wasi.read(fd, len, offset).await
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        self.wasi.write(fd, bytes, offset).await
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<DirectoryEntryStream>> {
        let target = self.files.resolve(&fd, ".")?;
        self.files.check_access(Access::Read, &target)?;
        if self.files.open_listings >= MAX_LISTINGS {
            return Err(FsError::trap(LimitHit::Entries(MAX_ENTRIES, MAX_LISTINGS)));
        }
        let entries = self.in_granted_folder(Access::Read, &target, async |wasi, dir, path, follow| {
            let folder = wasi.open_at(dir, follow, path, OpenFlags::DIRECTORY, DescriptorFlags::READ).await?;
            let is_small = match wasi.table.get(&folder)? {
                Descriptor::Dir(dir) => is_small(&dir.dir),
                Descriptor::File(_) => false,
            };
            let entries = match is_small {
                true => wasi.read_directory(Resource::new_own(folder.rep())).await,
                false => Err(FsError::trap(LimitHit::Entries(MAX_ENTRIES, MAX_LISTINGS))),
            };
            wasi.table.delete(folder)?;
            entries
        });
        let entries = entries.await?;
        self.files.open_listings += 1;
        Ok(entries)
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.wasi.sync(fd).await
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let target = self.files.resolve(&fd, &path)?;
        self.files.check_access(Access::Write, &target)?;
        if self.is_only_planned(&target, "create the folder")? {
            return Ok(());
        }
        self.files.create_parents(&target)?;
        self.in_granted_folder(Access::Write, &target, async |wasi, dir, path, _| {
            // The granted folder itself, which exists.
            if path == "." { Err(ErrorCode::Exist.into()) } else { wasi.create_directory_at(dir, path).await }
        })
        .await
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<DescriptorStat> {
        self.wasi.stat(fd).await
    }

    async fn stat_at(&mut self, fd: Fd, flags: PathFlags, path: String) -> FsResult<DescriptorStat> {
        let target = self.files.resolve(&fd, &path)?;
        self.check_stat(&target)?;
        self.in_granted_folder(Access::Read, &target, async |wasi, dir, path, follow| {
            wasi.stat_at(dir, flags & follow, path).await
        })
        .await
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        let target = self.files.resolve(&fd, &path)?;
        self.files.check_access(Access::Write, &target)?;
        if self.is_only_planned(&target, "set the times of")? {
            return Ok(());
        }
        self.in_granted_folder(Access::Write, &target, async |wasi, dir, path, follow| {
            wasi.set_times_at(dir, flags & follow, path, accessed, modified).await
        })
        .await
    }

    async fn link_at(&mut self, fd: Fd, flags: PathFlags, path: String, new_fd: Fd, new_path: String) -> FsResult<()> {
        self.give_new_path("hard-link", "as", (fd, path), (new_fd, new_path), async |wasi, old, new| {
            wasi.link_at(old.0, flags, old.1, new.0, new.1).await
        })
        .await
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        mut flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let target = self.files.resolve(&fd, &path)?;
        let changes = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::EXCLUSIVE;
        let access = if open_flags.intersects(changes) || flags.contains(DescriptorFlags::WRITE) {
            Access::Write
        } else {
            Access::Read
        };
        // An open folder is only a name here: each operation in it is checked again.
        flags &= !DescriptorFlags::MUTATE_DIRECTORY;
        match access {
            Access::Read => self.check_stat(&target)?,
            Access::Write => {
                self.files.check_access(access, &target)?;
                if flags.contains(DescriptorFlags::READ) {
                    self.files.check_access(Access::Read, &target)?;
                }
            }
        }
        if access == Access::Write {
            // Opening can truncate the file.
            let root = self.files.root(target.0).ok_or(ErrorCode::NoEntry)?;
            let file = root.join(&target.1).symlink_metadata();
            self.files.refuse_secret(file)?;
        }
        if access == Access::Write && self.is_only_planned(&target, "write")? {
            return self.open_scratch_file();
        }
        if open_flags.contains(OpenFlags::CREATE) {
            self.files.create_parents(&target)?;
        }
        let opened = self
            .in_granted_folder(access, &target, async |wasi, dir, path, follow| {
                wasi.open_at(dir, path_flags & follow, path, open_flags, flags).await
            })
            .await?;
        if let Descriptor::File(file) = self.wasi.table.get(&opened)?
            && let Err(error) = self.files.refuse_secret(file.file.metadata())
        {
            self.wasi.table.delete(opened)?;
            return Err(error);
        }
        self.track(opened, target)
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.files.folders.remove(&fd.rep());
        HostDescriptor::drop(&mut self.wasi, fd)
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        let target = self.files.resolve(&fd, &path)?;
        self.files.check_access(Access::Read, &target)?;
        self.in_granted_folder(Access::Read, &target, async |wasi, dir, path, _| wasi.readlink_at(dir, path).await)
            .await
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let target = self.files.resolve(&fd, &path)?;
        self.files.check_access(Access::Write, &target)?;
        if self.is_only_planned(&target, "remove the folder")? {
            return Ok(());
        }
        self.in_granted_folder(Access::Write, &target, async |wasi, dir, path, _| {
            wasi.remove_directory_at(dir, path).await
        })
        .await
    }

    async fn rename_at(&mut self, fd: Fd, path: String, new_fd: Fd, new_path: String) -> FsResult<()> {
        self.give_new_path("rename", "to", (fd, path), (new_fd, new_path), async |wasi, old, new| {
            wasi.rename_at(old.0, old.1, new.0, new.1).await
        })
        .await
    }

    async fn symlink_at(&mut self, fd: Fd, _: String, path: String) -> FsResult<()> {
        let target = self.files.resolve(&fd, &path)?;
        self.files.check_access(Access::Write, &target)?;
        let message =
            "hooks may not create symlinks: other programs would follow them to files that hooks may not open";
        self.files.log.denied("write", message).map_err(FsError::trap)?;
        Err(ErrorCode::NotPermitted.into())
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let target = self.files.resolve(&fd, &path)?;
        self.files.check_access(Access::Write, &target)?;
        if self.is_only_planned(&target, "remove")? {
            return Ok(());
        }
        self.in_granted_folder(Access::Write, &target, async |wasi, dir, path, _| wasi.unlink_file_at(dir, path).await)
            .await
    }

    fn read_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        self.wasi.read_via_stream(fd, offset)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynOutputStream>> {
        self.wasi.write_via_stream(fd, offset)
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        self.wasi.append_via_stream(fd)
    }

    async fn is_same_object(&mut self, one: Fd, other: Fd) -> wasmtime::Result<bool> {
        self.wasi.is_same_object(one, other).await
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<MetadataHashValue> {
        self.wasi.metadata_hash(fd).await
    }

    async fn metadata_hash_at(&mut self, fd: Fd, flags: PathFlags, path: String) -> FsResult<MetadataHashValue> {
        let target = self.files.resolve(&fd, &path)?;
        self.check_stat(&target)?;
        self.in_granted_folder(Access::Read, &target, async |wasi, dir, path, follow| {
            wasi.metadata_hash_at(dir, flags & follow, path).await
        })
        .await
    }
}

impl HostDirectoryEntryStream for FilesView<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        self.wasi.read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.files.open_listings = self.files.open_listings.saturating_sub(1);
        HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}
