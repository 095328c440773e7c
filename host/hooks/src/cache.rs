//! What is known of hooks files, kept: compiling one takes seconds where loading what came of it
//! takes a millisecond, and looking into a large one takes longer than the rest of a call.
//!
//! wasmtime runs whatever it finds in a file of compiled code. So the folder is the user's alone, files come
//! into it whole, by a rename, and each has its checksum beside it: what was damaged is made anew.

use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// A file that changed this recently may change again without its times telling.
const SETTLED: Duration = Duration::from_millis(50);

/// The folder of what is kept.
pub(crate) struct Cache {
    dir: PathBuf,
}

/// The right to compile a hooks file while all others wait.
pub(crate) struct Turn {
    _file: File,
    path: PathBuf,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Who waits for the file has it open. At worst somebody compiles the same once more.
        _ = fs::remove_file(&self.path);
    }
}

/// What tells that a file is the one that was looked at: whatever changes it changes this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a later change would be seen: not where the file has only just changed, or where
    /// the file system counts whole seconds.
    fn is_settled(&self) -> bool {
        let (seconds, nanos) = self.changed;
        let since = Duration::new(u64::try_from(seconds).unwrap_or_default(), u32::try_from(nanos).unwrap_or_default());
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + since);
        nanos != 0 && age.is_ok_and(|age| age > SETTLED)
    }
}

/// What is known of a file at a path.
#[derive(Serialize, Deserialize)]
struct Seen<T> {
    stamp: Stamp,
    program: Option<Stamp>,
    what: T,
}

/// What is known of a file of compiled code.
#[derive(Serialize, Deserialize)]
struct Entry {
    stamp: Stamp,
    /// The SHA-256 of the code.
    checksum: [u8; 32],
}

impl Cache {
    /// The folder, made if it isn't there; none where it can't be trusted to be this user's alone.
    pub(crate) fn open(dir: &Path) -> Option<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).ok()?;
        let metadata = fs::symlink_metadata(dir).ok()?;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        if !metadata.is_dir() || !own || metadata.mode() & 0o022 != 0 {
            return None;
        }
        Some(Self { dir: dir.to_owned() })
    }

    /// What was found out about the file by this very program, if the file is still the same.
    pub(crate) fn recall<T: DeserializeOwned>(&self, file: &Path, metadata: &Metadata) -> Option<T> {
        let seen: Seen<T> = self.read(&seen_name(file))?;
        (seen.stamp == Stamp::of(metadata) && seen.program == program()).then_some(seen.what)
    }

    /// Keeps what was found out about a file. What can't be kept is found out again.
    pub(crate) fn remember<T: Serialize>(&self, file: &Path, metadata: &Metadata, what: T) {
        let stamp = Stamp::of(metadata);
        if stamp.is_settled() {
            _ = self.write_value(&seen_name(file), &Seen { stamp, program: program(), what });
        }
    }

    /// Whether there is compiled code for a hooks file with this digest; it may turn out unfit.
    pub(crate) fn has(&self, engine: &Engine, digest: &str) -> bool {
        self.dir.join(name(engine, digest)).is_file()
    }

    /// The compiled code for a hooks file with this digest; the text says why there is none.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Result<Component, String> {
        let name = name(engine, digest);
        let path = self.dir.join(&name);
        let file = File::open(&path).map_err(|_| "it is compiled the first time that it is used".to_owned())?;
        let unfit = |why: &str| format!("{} is made anew: {why}", path.display());
        let metadata = file.metadata().map_err(|error| unfit(&error.to_string()))?;
        let stamp = Stamp::of(&metadata);
        let entry: Entry = self.read(&record_name(&name)).ok_or_else(|| unfit("its checksum is missing"))?;
        if entry.stamp != stamp {
            // It may have been moved; what counts is what is in it.
            let checksum = checksum(&file).map_err(|error| unfit(&error.to_string()))?;
            if checksum != entry.checksum {
                return Err(unfit("its checksum is another one"));
            }
            _ = self.write_value(&record_name(&name), &Entry { stamp, ..entry });
        }
        // By its own name it might be another file by now.
        let this = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: this code has written the file, for this engine, into a folder that is this user's alone, and it
        // has not changed since.
        unsafe { Component::deserialize_file(engine, this) }.map_err(|error| unfit(&format!("{error:#}")))
    }

    /// Waits until nobody else compiles the hooks file with this digest. It is this one's turn as
    /// long as the file is held.
    pub(crate) fn turn(&self, digest: &str) -> io::Result<Turn> {
        let path = self.dir.join(digest).with_extension("turn");
        let file = File::create(&path)?;
        file.lock()?;
        Ok(Turn { _file: file, path })
    }

    /// Keeps compiled code, and that of the latest `keep` files in all.
    pub(crate) fn store(
        &self,
        engine: &Engine,
        digest: &str,
        component: &Component,
        keep: usize,
    ) -> anyhow::Result<()> {
        let name = name(engine, digest);
        let path = self.dir.join(&name);
        let code = component.serialize().map_err(anyhow::Error::from)?;
        let checksum = Sha256::digest(&code).into();
        self.write(&path, &code)?;
        let stamp = Stamp::of(&fs::metadata(&path)?);
        self.write_value(&record_name(&name), &Entry { stamp, checksum })?;
        self.clear_out(keep);
        Ok(())
    }

    /// Removes all but the latest.
    fn clear_out(&self, keep: usize) {
        for old in ["cwasm", "seen", "turn"].into_iter().flat_map(|kind| self.older(kind, keep)) {
            // Whoever uses it has it open.
            _ = fs::remove_file(self.dir.join(&old));
            _ = fs::remove_file(self.dir.join(record_name(&old)));
        }
    }

    /// The names of the files of a kind, but for the latest.
    fn older(&self, kind: &str, keep: usize) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let mut files: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == kind))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.file_name().into_string().ok()?)))
            .collect();
        files.sort();
        files.into_iter().rev().skip(keep).map(|(_, name)| name).collect()
    }

    fn write_value<T: Serialize>(&self, name: &str, value: &T) -> anyhow::Result<()> {
        self.write(&self.dir.join(name), &serde_json::to_vec(value)?)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.dir.join(name)).ok()?).ok()
    }

    /// Writes a file whole: it is on the disk before it has its name.
    fn write(&self, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        file.write_all(bytes)?;
        file.as_file().sync_data()?;
        file.persist(path)?;
        Ok(())
    }
}

/// The name of the compiled code of a hooks file, for this engine.
fn name(engine: &Engine, digest: &str) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{:016x}.cwasm", hasher.finish())
}

fn record_name(name: &str) -> String {
    format!("{name}.record")
}

fn seen_name(file: &Path) -> String {
    format!("{}.seen", hex(&Sha256::digest(file.as_os_str().as_bytes())[..16]))
}

/// What tells that the program is the same: another one may see more in a hooks file.
fn program() -> Option<Stamp> {
    let program = std::env::current_exe().ok()?;
    Some(Stamp::of(&fs::metadata(program).ok()?))
}

/// The SHA-256 of a file.
fn checksum(mut file: &File) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    struct Place {
        engine: Engine,
        dir: tempfile::TempDir,
    }

    impl Place {
        /// A folder with the compiled code of a component in it.
        fn filled() -> Self {
            let place = Self { engine: Engine::default(), dir: tempfile::tempdir().expect("a folder") };
            let component = Component::new(&place.engine, COMPONENT).expect("it is a component");
            place.cache().store(&place.engine, "digest", &component, 3).expect("there is room");
            place
        }

        fn cache(&self) -> Cache {
            Cache::open(self.dir.path()).expect("the folder is ours")
        }

        fn load(&self) -> Result<(), String> {
            self.cache().load(&self.engine, "digest").map(drop)
        }

        fn code(&self) -> PathBuf {
            self.dir.path().join(name(&self.engine, "digest"))
        }
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let place = Place::filled();
        assert_eq!(place.load(), Ok(()));
        assert!(place.cache().load(&place.engine, "another").is_err());
    }

    #[test]
    fn code_that_is_torn_or_changed_or_without_a_record_is_not_loaded() {
        let code = fs::read(Place::filled().code()).expect("it is there");
        let mut flipped = code.clone();
        flipped[code.len() / 2] ^= 1;
        for bad in [&code[..code.len() / 2], &[], &flipped, b"rubbish"] {
            let place = Place::filled();
            fs::write(place.code(), bad).expect("it can be written");
            assert!(place.load().expect_err("it isn't what was written").contains("its checksum is another one"));
        }
        let place = Place::filled();
        fs::remove_file(place.dir.path().join(record_name(&name(&place.engine, "digest")))).expect("it is there");
        assert!(place.load().expect_err("it has no record").contains("its checksum is missing"));
    }

    #[test]
    fn code_that_was_only_moved_is_loaded() {
        let place = Place::filled();
        let moved = place.dir.path().join("moved");
        fs::copy(place.code(), &moved).expect("it can be copied");
        fs::rename(&moved, place.code()).expect("it can be moved");
        assert_eq!(place.load(), Ok(()));
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
        assert!(Cache::open(dir.path()).is_none());
    }

    #[test]
    fn what_is_known_of_a_file_is_forgotten_when_it_changes() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(&dir.path().join("cache")).expect("the folder is ours");
        let file = dir.path().join("upgrade.wasm");
        fs::write(&file, "one").expect("it can be written");
        let known = || cache.recall::<String>(&file, &fs::metadata(&file).expect("it is there"));

        cache.remember(&file, &fs::metadata(&file).expect("it is there"), "too early");
        assert_eq!(known(), None, "it may change again unseen");
        std::thread::sleep(SETTLED * 2);
        cache.remember(&file, &fs::metadata(&file).expect("it is there"), "known");
        assert_eq!(known().as_deref(), Some("known"));
        fs::write(&file, "two").expect("it can be written");
        assert_eq!(known(), None);
    }

    #[test]
    fn only_one_at_a_time_compiles_a_hooks_file() {
        let place = Place::filled();
        let turn = place.cache().turn("digest").expect("the folder is ours");
        let _another = place.cache().turn("another").expect("nobody has it");
        let (said, hear) = std::sync::mpsc::channel();
        let cache = place.cache();
        let waiter = std::thread::spawn(move || {
            let _turn = cache.turn("digest").expect("it gets free");
            said.send(()).expect("heard");
        });
        assert!(hear.recv_timeout(Duration::from_millis(100)).is_err(), "both compile it");
        drop(turn);
        hear.recv_timeout(Duration::from_secs(10)).expect("its turn comes");
        waiter.join().expect("no panic");
        assert!(!place.dir.path().join("digest.turn").exists());
    }

    #[test]
    fn only_the_latest_are_kept() {
        let place = Place::filled();
        let component = Component::new(&place.engine, COMPONENT).expect("it is a component");
        for number in 0..5 {
            place.cache().store(&place.engine, &format!("{number:03}"), &component, 3).expect("there is room");
        }
        let names = fs::read_dir(place.dir.path()).expect("it is there").flatten().map(|entry| entry.file_name());
        let code = names.filter(|name| name.to_string_lossy().ends_with(".cwasm")).count();
        assert_eq!(code, 3);
        assert!(place.cache().has(&place.engine, &format!("{:03}", 4)));
    }
}
