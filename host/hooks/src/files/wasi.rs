//! WASI's own interface to files: each of its functions held against the grants, and then carried
//! out or only listed.

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

use super::{Fd, Files, MOST_ENTRIES, MOST_LISTS, OpenedPath, Place, is_small};
use crate::effects::PlannedEffect;
use crate::limits::LimitHit;
use gatling_grants::Access;

/// What wasmtime reaches the files of a call through.
pub(crate) struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = FilesView<'a>;
}

pub(crate) struct FilesView<'a> {
    pub(crate) wasi: WasiFilesystemCtxView<'a>,
    pub(crate) files: &'a mut Files,
}

impl FilesView<'_> {
    /// Has `work` done on a place, from within the folder that is granted.
    async fn at<T>(
        &mut self,
        access: Access,
        place: &Place,
        work: impl AsyncFnOnce(&mut WasiFilesystemCtxView<'_>, Fd, String, PathFlags) -> FsResult<T>,
    ) -> FsResult<T> {
        let OpenedPath { dir, path, links } = self.files.open_around(access, place)?;
        let fd = self.wasi.table.push(Descriptor::Dir(dir)).map_err(FsError::trap)?;
        let result = work(&mut self.wasi, Resource::new_own(fd.rep()), path, links).await;
        self.wasi.table.delete(fd)?;
        match result {
            // What WASI makes of a full table would leave the hook to guess.
            Err(error) if error.downcast_ref() == Some(&ErrorCode::InsufficientMemory) => {
                Err(FsError::trap(ResourceTableError::Full))
            }
            Err(error) if error.downcast_ref() == Some(&ErrorCode::NotPermitted) => {
                if self.files.is_behind_link(place) {
                    self.files.log.denied("read", &self.files.behind_link(place)).map_err(FsError::trap)?;
                }
                Err(error)
            }
            result => result,
        }
    }

    /// Whether what the hook wants is only listed. A dry run changes nothing: whatever a hook may do is listed and
    /// succeeds, and what it reads is what is there.
    fn only_listed(&mut self, place: &Place, how: &str) -> FsResult<bool> {
        if self.files.effects.are_listed() && self.files.is_behind_link(place) {
            self.files.log.denied("write", &self.files.behind_link(place)).map_err(FsError::trap)?;
            return Err(ErrorCode::NotPermitted.into());
        }
        Ok(self.files.effects.list(|| PlannedEffect::Write(format!("{how} {}", self.files.shown(place)))))
    }

    /// A file to write into that nobody reads.
    fn open_nowhere(&mut self) -> FsResult<Fd> {
        let file = tempfile::tempfile().map_err(|error| ErrorCode::from(&error))?;
        let file =
            wasmtime_wasi::filesystem::File::new(file, FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE, false);
        self.wasi.table.push(Descriptor::File(file)).map_err(FsError::trap)
    }

    /// Keeps in mind which folder a descriptor stands for.
    fn hold(&mut self, fd: Fd, place: Place) -> FsResult<Fd> {
        if matches!(self.wasi.table.get(&fd)?, Descriptor::Dir(_)) {
            self.files.folders.insert(fd.rep(), place);
        }
        Ok(fd)
    }

    /// Moved elsewhere, a link can lead to where hooks may not go.
    async fn refuse_link(&mut self, place: &Place) -> FsResult<()> {
        let found =
            self.at(Access::Write, place, async |wasi, dir, path, _| wasi.stat_at(dir, PathFlags::empty(), path).await);
        if found.await?.type_ == DescriptorType::SymbolicLink {
            let message = format!("hooks may not move symbolic links, and {} is one", self.files.shown(place));
            self.files.log.denied("read", &message).map_err(FsError::trap)?;
            return Err(ErrorCode::NotPermitted.into());
        }
        Ok(())
    }

    /// Whether this may be looked at: what may be read, and folders on the way to it.
    fn permit_look(&mut self, place: &Place) -> FsResult<()> {
        let may_read = self.files.grants.may_access(Access::Read, place.0, &place.1).is_ok();
        let passes = !may_read && self.files.grants.is_on_the_way(place.0, &place.1);
        if passes { Ok(()) } else { self.files.permit(Access::Read, place) }
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
        // A descriptor that was opened to read, or a folder's.
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
        let place = self.files.place(&fd, ".")?;
        self.files.permit(Access::Read, &place)?;
        if self.files.lists >= MOST_LISTS {
            return Err(FsError::trap(LimitHit::Entries(MOST_ENTRIES)));
        }
        let entries = self.at(Access::Read, &place, async |wasi, dir, path, links| {
            let folder = wasi.open_at(dir, links, path, OpenFlags::DIRECTORY, DescriptorFlags::READ).await?;
            let is_small = match wasi.table.get(&folder)? {
                Descriptor::Dir(dir) => is_small(&dir.dir),
                Descriptor::File(_) => false,
            };
            let entries = match is_small {
                true => wasi.read_directory(Resource::new_own(folder.rep())).await,
                false => Err(FsError::trap(LimitHit::Entries(MOST_ENTRIES))),
            };
            wasi.table.delete(folder)?;
            entries
        });
        let entries = entries.await?;
        self.files.lists += 1;
        Ok(entries)
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.wasi.sync(fd).await
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let place = self.files.place(&fd, &path)?;
        self.files.permit(Access::Write, &place)?;
        if self.only_listed(&place, "make the folder")? {
            return Ok(());
        }
        self.files.make_way(&place)?;
        self.at(Access::Write, &place, async |wasi, dir, path, _| {
            // The granted folder itself, where it is there.
            if path == "." { Err(ErrorCode::Exist.into()) } else { wasi.create_directory_at(dir, path).await }
        })
        .await
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<DescriptorStat> {
        self.wasi.stat(fd).await
    }

    async fn stat_at(&mut self, fd: Fd, flags: PathFlags, path: String) -> FsResult<DescriptorStat> {
        let place = self.files.place(&fd, &path)?;
        self.permit_look(&place)?;
        self.at(Access::Read, &place, async |wasi, dir, path, links| wasi.stat_at(dir, flags & links, path).await).await
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        let place = self.files.place(&fd, &path)?;
        self.files.permit(Access::Write, &place)?;
        if self.only_listed(&place, "set the times of")? {
            return Ok(());
        }
        self.at(Access::Write, &place, async |wasi, dir, path, links| {
            wasi.set_times_at(dir, flags & links, path, accessed, modified).await
        })
        .await
    }

    async fn link_at(&mut self, fd: Fd, flags: PathFlags, path: String, new_fd: Fd, new_path: String) -> FsResult<()> {
        let (old, new) = (self.files.place(&fd, &path)?, self.files.place(&new_fd, &new_path)?);
        for place in [&old, &new] {
            self.files.permit(Access::Write, place)?;
        }
        // In its new place it might be one that may be read.
        self.files.permit(Access::Read, &old)?;
        if self.only_listed(&new, &format!("link {} as", self.files.shown(&old)))? {
            return Ok(());
        }
        self.refuse_link(&old).await?;
        self.files.make_way(&new)?;
        let OpenedPath { dir, path: new_path, .. } = self.files.open_around(Access::Write, &new)?;
        let new_fd = self.wasi.table.push(Descriptor::Dir(dir))?;
        let rep = new_fd.rep();
        let linked = self
            .at(Access::Write, &old, async |wasi, dir, path, _| {
                wasi.link_at(dir, flags, path, Resource::new_own(rep), new_path).await
            })
            .await;
        self.wasi.table.delete(new_fd)?;
        linked
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        mut flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let place = self.files.place(&fd, &path)?;
        let changes = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::EXCLUSIVE;
        let access = if open_flags.intersects(changes) || flags.contains(DescriptorFlags::WRITE) {
            Access::Write
        } else {
            Access::Read
        };
        // A folder is only a name here: what is done in it is asked for again.
        flags &= !DescriptorFlags::MUTATE_DIRECTORY;
        match access {
            Access::Read => self.permit_look(&place)?,
            Access::Write => {
                self.files.permit(access, &place)?;
                if flags.contains(DescriptorFlags::READ) {
                    self.files.permit(Access::Read, &place)?;
                }
            }
        }
        if access == Access::Write {
            // Opening it could already empty it.
            let root = self.files.root(place.0).ok_or(ErrorCode::NoEntry)?;
            let file = root.join(&place.1).symlink_metadata();
            self.files.refuse_secret(file)?;
        }
        if access == Access::Write && self.only_listed(&place, "write")? {
            return self.open_nowhere();
        }
        if open_flags.contains(OpenFlags::CREATE) {
            self.files.make_way(&place)?;
        }
        let opened = self
            .at(access, &place, async |wasi, dir, path, links| {
                wasi.open_at(dir, path_flags & links, path, open_flags, flags).await
            })
            .await?;
        if let Descriptor::File(file) = self.wasi.table.get(&opened)?
            && let Err(error) = self.files.refuse_secret(file.file.metadata())
        {
            self.wasi.table.delete(opened)?;
            return Err(error);
        }
        self.hold(opened, place)
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.files.folders.remove(&fd.rep());
        HostDescriptor::drop(&mut self.wasi, fd)
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        let place = self.files.place(&fd, &path)?;
        self.files.permit(Access::Read, &place)?;
        self.at(Access::Read, &place, async |wasi, dir, path, _| wasi.readlink_at(dir, path).await).await
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let place = self.files.place(&fd, &path)?;
        self.files.permit(Access::Write, &place)?;
        if self.only_listed(&place, "remove the folder")? {
            return Ok(());
        }
        self.at(Access::Write, &place, async |wasi, dir, path, _| wasi.remove_directory_at(dir, path).await).await
    }

    async fn rename_at(&mut self, fd: Fd, path: String, new_fd: Fd, new_path: String) -> FsResult<()> {
        let (old, new) = (self.files.place(&fd, &path)?, self.files.place(&new_fd, &new_path)?);
        for place in [&old, &new] {
            self.files.permit(Access::Write, place)?;
        }
        // In its new place it might be one that may be read.
        self.files.permit(Access::Read, &old)?;
        if self.only_listed(&new, &format!("rename {} to", self.files.shown(&old)))? {
            return Ok(());
        }
        self.refuse_link(&old).await?;
        self.files.make_way(&new)?;
        let OpenedPath { dir, path: new_path, .. } = self.files.open_around(Access::Write, &new)?;
        let new_fd = self.wasi.table.push(Descriptor::Dir(dir))?;
        let rep = new_fd.rep();
        let renamed = self
            .at(Access::Write, &old, async |wasi, dir, path, _| {
                wasi.rename_at(dir, path, Resource::new_own(rep), new_path).await
            })
            .await;
        self.wasi.table.delete(new_fd)?;
        renamed
    }

    async fn symlink_at(&mut self, fd: Fd, _: String, path: String) -> FsResult<()> {
        let place = self.files.place(&fd, &path)?;
        self.files.permit(Access::Write, &place)?;
        let message = "hooks may not make symbolic links: others would follow them to where hooks may not go";
        self.files.log.denied("write", message).map_err(FsError::trap)?;
        Err(ErrorCode::NotPermitted.into())
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let place = self.files.place(&fd, &path)?;
        self.files.permit(Access::Write, &place)?;
        if self.only_listed(&place, "remove")? {
            return Ok(());
        }
        self.at(Access::Write, &place, async |wasi, dir, path, _| wasi.unlink_file_at(dir, path).await).await
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
        let place = self.files.place(&fd, &path)?;
        self.permit_look(&place)?;
        self.at(Access::Read, &place, async |wasi, dir, path, links| {
            wasi.metadata_hash_at(dir, flags & links, path).await
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
        self.files.lists = self.files.lists.saturating_sub(1);
        HostDirectoryEntryStream::drop(&mut self.wasi, stream)
    }
}
