//! Caches the compiled code and the inspection of hooks files. Compiling takes seconds, loading the code a
//! millisecond; inspecting a large file takes longer than the rest of a call.
//!
//! wasmtime runs any code that it finds in a file of compiled code. So only the user can write to the folder,
//! files are moved into it when they are complete, and a record beside each file has its checksum: a damaged
//! file is compiled again.

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

/// A file that changed this recently could change again without a new timestamp.
const SETTLED: Duration = Duration::from_millis(50);

/// The cache folder.
pub(crate) struct Cache {
    dir: PathBuf,
}

/// The lock to compile a hooks file. It is released when dropped.
pub(crate) struct CompileLock {
    _file: File,
    path: PathBuf,
}

impl Drop for CompileLock {
    fn drop(&mut self) {
        // Processes that wait for the lock have the file open. At worst, one of them compiles the file again.
        _ = fs::remove_file(&self.path);
    }
}

/// Identifies one version of a file: any change of the file changes the stamp.
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

    /// Whether a later change would change the stamp. False if the file has just changed, or if the file system
    /// only stores whole seconds.
    fn is_settled(&self) -> bool {
        let (seconds, nanos) = self.changed;
        let since = Duration::new(u64::try_from(seconds).unwrap_or_default(), u32::try_from(nanos).unwrap_or_default());
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + since);
        nanos != 0 && age.is_ok_and(|age| age > SETTLED)
    }
}

/// The cached inspection of the file at a path.
#[derive(Serialize, Deserialize)]
struct CachedInspection<T> {
    stamp: Stamp,
    program: Option<Stamp>,
    what: T,
}

/// The record of a file of compiled code.
#[derive(Serialize, Deserialize)]
struct CodeRecord {
    stamp: Stamp,
    /// The SHA-256 of the code.
    checksum: [u8; 32],
}

impl Cache {
    /// Opens the folder, and creates it if needed. Returns `None` if other users could write to it.
    pub(crate) fn open(dir: &Path) -> Option<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).ok()?;
        let metadata = fs::symlink_metadata(dir).ok()?;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        if !metadata.is_dir() || !own || metadata.mode() & 0o022 != 0 {
            return None;
        }
        Some(Self { dir: dir.to_owned() })
    }

    /// The inspection of the file by this same program, if the file has not changed.
    pub(crate) fn recall<T: DeserializeOwned>(&self, file: &Path, metadata: &Metadata) -> Option<T> {
        let seen: CachedInspection<T> = self.read(&seen_name(file))?;
        (seen.stamp == Stamp::of(metadata) && seen.program == program()).then_some(seen.what)
    }

    /// Stores the inspection of a file. If that fails, the file is inspected again next time.
    pub(crate) fn remember<T: Serialize>(&self, file: &Path, metadata: &Metadata, what: T) {
        let stamp = Stamp::of(metadata);
        if stamp.is_settled() {
            _ = self.write_value(&seen_name(file), &CachedInspection { stamp, program: program(), what });
        }
    }

    /// Whether there is compiled code for a hooks file with this digest. Loading it can still fail.
    pub(crate) fn has(&self, engine: &Engine, digest: &str) -> bool {
        self.dir.join(name(engine, digest)).is_file()
    }

    /// The compiled code for a hooks file with this digest. The error says why it can't be used.
    pub(crate) fn load(&self, engine: &Engine, digest: &str) -> Result<Component, String> {
        let name = name(engine, digest);
        let path = self.dir.join(&name);
        let file = File::open(&path).map_err(|_| "it is compiled when it is first used".to_owned())?;
        let unusable = |reason: &str| format!("{} is compiled again: {reason}", path.display());
        let metadata = file.metadata().map_err(|error| unusable(&error.to_string()))?;
        let stamp = Stamp::of(&metadata);
        let record: CodeRecord = self.read(&record_name(&name)).ok_or_else(|| unusable("its checksum is missing"))?;
        if record.stamp != stamp {
            // It may only have been moved: compare its content.
            let checksum = checksum(&file).map_err(|error| unusable(&error.to_string()))?;
            if checksum != record.checksum {
                return Err(unusable("its checksum does not match"));
            }
            _ = self.write_value(&record_name(&name), &CodeRecord { stamp, ..record });
        }
        // Its path could be another file by now.
        let open_file = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: this code has written the file, for this engine, into a folder to which only this user can write,
        // and the file has not changed since.
        unsafe { Component::deserialize_file(engine, open_file) }.map_err(|error| unusable(&format!("{error:#}")))
    }

    /// Waits until no other process compiles the hooks file with this digest, and locks it.
    pub(crate) fn lock(&self, digest: &str) -> io::Result<CompileLock> {
        let path = self.dir.join(digest).with_extension("turn");
        let file = File::create(&path)?;
        file.lock()?;
        Ok(CompileLock { _file: file, path })
    }

    /// Stores compiled code, and removes all but the latest `keep` files.
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
        self.write_value(&record_name(&name), &CodeRecord { stamp, checksum })?;
        self.evict(keep);
        Ok(())
    }

    /// Removes all but the latest `keep` files of each kind.
    fn evict(&self, keep: usize) {
        for old in ["cwasm", "seen", "turn"].into_iter().flat_map(|kind| self.older(kind, keep)) {
            // A process that uses the file has it open.
            _ = fs::remove_file(self.dir.join(&old));
            _ = fs::remove_file(self.dir.join(record_name(&old)));
        }
    }

    /// The names of all files with an extension except the latest.
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

    /// Writes a file atomically: it is on the disk before it gets its name.
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

/// Identifies this program: another version may inspect a hooks file differently.
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

    struct TestCache {
        engine: Engine,
        dir: tempfile::TempDir,
    }

    impl TestCache {
        /// A cache that contains the compiled code of a component.
        fn filled() -> Self {
            let test = Self { engine: Engine::default(), dir: tempfile::tempdir().expect("a folder") };
            let component = Component::new(&test.engine, COMPONENT).expect("it is a component");
            test.cache().store(&test.engine, "digest", &component, 3).expect("there is room");
            test
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
    fn stored_code_is_loaded() {
        let test = TestCache::filled();
        assert_eq!(test.load(), Ok(()));
        assert!(test.cache().load(&test.engine, "another").is_err());
    }

    #[test]
    fn incomplete_or_changed_code_and_code_without_a_record_is_not_loaded() {
        let code = fs::read(TestCache::filled().code()).expect("it is there");
        let mut flipped = code.clone();
        flipped[code.len() / 2] ^= 1;
        for bad in [&code[..code.len() / 2], &[], &flipped, b"rubbish"] {
            let test = TestCache::filled();
            fs::write(test.code(), bad).expect("it can be written");
            assert!(test.load().expect_err("it isn't what was written").contains("its checksum does not match"));
        }
        let test = TestCache::filled();
        fs::remove_file(test.dir.path().join(record_name(&name(&test.engine, "digest")))).expect("it is there");
        assert!(test.load().expect_err("it has no record").contains("its checksum is missing"));
    }

    #[test]
    fn code_that_was_only_moved_is_loaded() {
        let test = TestCache::filled();
        let moved = test.dir.path().join("moved");
        fs::copy(test.code(), &moved).expect("it can be copied");
        fs::rename(&moved, test.code()).expect("it can be moved");
        assert_eq!(test.load(), Ok(()));
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
        assert!(Cache::open(dir.path()).is_none());
    }

    #[test]
    fn a_changed_file_is_inspected_again() {
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
    fn only_one_process_at_a_time_compiles_a_hooks_file() {
        let test = TestCache::filled();
        let lock = test.cache().lock("digest").expect("the folder is ours");
        let _another = test.cache().lock("another").expect("it is free");
        let (sender, receiver) = std::sync::mpsc::channel();
        let cache = test.cache();
        let waiter = std::thread::spawn(move || {
            let _lock = cache.lock("digest").expect("it becomes free");
            sender.send(()).expect("the test waits for it");
        });
        assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err(), "both compile it");
        drop(lock);
        receiver.recv_timeout(Duration::from_secs(10)).expect("it gets the lock");
        waiter.join().expect("no panic");
        assert!(!test.dir.path().join("digest.turn").exists());
    }

    #[test]
    fn only_the_latest_are_kept() {
        let test = TestCache::filled();
        let component = Component::new(&test.engine, COMPONENT).expect("it is a component");
        for number in 0..5 {
            test.cache().store(&test.engine, &format!("{number:03}"), &component, 3).expect("there is room");
        }
        let names = fs::read_dir(test.dir.path()).expect("it is there").flatten().map(|entry| entry.file_name());
        let code = names.filter(|name| name.to_string_lossy().ends_with(".cwasm")).count();
        assert_eq!(code, 3);
        assert!(test.cache().has(&test.engine, &format!("{:03}", 4)));
    }
}
