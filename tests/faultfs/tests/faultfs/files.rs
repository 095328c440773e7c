//! It is a file system like another.

use std::collections::HashSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Dir, FlockOperation, RenameFlags, flock, renameat_with, statvfs};
use rustix::io::Errno;

use crate::Disk;

#[test]
fn a_file_is_created_appended_to_truncated_and_sought_in() {
    let Some(disk) = Disk::strict() else { return };
    disk.write("file", "0123456789");
    assert_eq!(File::create_new(disk.path("file")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    let mut one = File::options().append(true).open(disk.path("file")).unwrap();
    let mut two = File::options().append(true).open(disk.path("file")).unwrap();
    one.write_all(b"a").unwrap();
    two.write_all(b"b").unwrap();
    one.write_all(b"c").unwrap();
    assert_eq!(disk.read("file").as_deref(), Some("0123456789abc"));
    one.set_len(3).unwrap();
    one.set_len(5).unwrap();
    assert_eq!(disk.read("file").as_deref(), Some("012\0\0"));
    let mut file = File::options().read(true).write(true).open(disk.path("file")).unwrap();
    file.seek(SeekFrom::Start(8)).unwrap();
    file.write_all(b"far").unwrap();
    assert_eq!(disk.read("file").as_deref(), Some("012\0\0\0\0\0far"));
    assert_eq!(file.set_len(1 << 40).unwrap_err().raw_os_error(), Some(Errno::FBIG.raw_os_error()));
}

#[test]
fn modes_owners_and_times_are_kept_and_checked() {
    let Some(disk) = Disk::strict() else { return };
    fs::set_permissions(disk.root(), Permissions::from_mode(0o755)).unwrap();
    disk.write("file", "data");
    let path = disk.path("file");
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    File::open(&path).unwrap().set_modified(time).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    chown(&path, Some(1234), Some(4321)).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (1234, 4321, 0o640));
    assert_eq!(metadata.modified().unwrap(), time);
    for (uid, gid, may) in [(1234, 1, true), (1, 4321, true), (1, 1, false)] {
        let status = Command::new("cat").arg(&path).current_dir("/").uid(uid).gid(gid).output().unwrap().status;
        assert_eq!(status.success(), may, "as user {uid} and group {gid}");
    }
    let status = Command::new("touch").arg(disk.path("new")).uid(1).output().unwrap().status;
    assert!(!status.success(), "only root may write into the root");
}

#[test]
fn new_data_and_new_names_give_new_times() {
    let Some(disk) = Disk::strict() else { return };
    let modified = |name| fs::metadata(disk.path(name)).unwrap().modified().unwrap();
    let start = SystemTime::now();
    disk.mkdir("folder");
    assert!(modified("folder") >= start);
    let before = modified("folder");
    disk.write("folder/file", "data");
    assert!(modified("folder") > before && modified("folder/file") > before);
    let before = SystemTime::now();
    disk.write("folder/file", "more");
    assert!(modified("folder") < before && modified("folder/file") >= before);
    let before = SystemTime::now();
    File::options().append(true).open(disk.path("folder/file")).unwrap().write_all(b"appended").unwrap();
    assert!(modified("folder/file") >= before);
    let changed = fs::metadata(disk.path("folder/file")).unwrap().ctime_nsec();
    fs::hard_link(disk.path("folder/file"), disk.path("other")).unwrap();
    assert_ne!(fs::metadata(disk.path("folder/file")).unwrap().ctime_nsec(), changed);
}

#[test]
fn a_rename_replaces_exchanges_or_refuses() {
    let Some(disk) = Disk::strict() else { return };
    disk.write("one", "1");
    disk.write("two", "2");
    let rename = |flags| renameat_with(CWD, disk.path("one"), CWD, disk.path("two"), flags);
    assert_eq!(rename(RenameFlags::NOREPLACE), Err(Errno::EXIST));
    rename(RenameFlags::EXCHANGE).unwrap();
    assert_eq!((disk.read("one").as_deref(), disk.read("two").as_deref()), (Some("2"), Some("1")));
    rename(RenameFlags::empty()).unwrap();
    assert_eq!((disk.read("one"), disk.read("two").as_deref()), (None, Some("2")));
    assert_eq!(rename(RenameFlags::EXCHANGE), Err(Errno::NOENT));

    disk.mkdir("full");
    disk.write("full/file", "data");
    disk.mkdir("empty");
    assert_eq!(fs::rename(disk.path("empty"), disk.path("full")).unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
    assert_eq!(fs::remove_dir(disk.path("full")).unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
    disk.rename("full", "empty");
    assert_eq!(disk.list("empty"), ["file"]);
}

#[test]
fn a_reader_sees_either_file_while_one_is_renamed_onto_the_other() {
    let Some(disk) = Disk::strict() else { return };
    let contents = ["a", "b"].map(|letter| letter.repeat(10_000));
    disk.write("file", &contents[0]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers = [(); 2].map(|()| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // One that panics here does not stop the writer.
                    let read = disk.read("file").expect("the name is always there");
                    assert!(contents.contains(&read), "{} bytes, neither the old nor the new ones", read.len());
                }
            })
        });
        for round in 1..300 {
            disk.write("new", &contents[round % 2]);
            disk.rename("new", "file");
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    assert_eq!(disk.list(""), ["file"]);
}

#[test]
fn only_one_of_many_renames_without_replacing_succeeds() {
    let Some(disk) = Disk::strict() else { return };
    for number in 0..8 {
        disk.write(&number.to_string(), "data");
    }
    let disk = &disk;
    let rename = move |number: i32| {
        let (from, to) = (disk.path(&number.to_string()), disk.path("winner"));
        renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).is_ok()
    };
    let won = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || rename(number))).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap().then_some(())).count()
    });
    assert_eq!((won, disk.list("").len()), (1, 8));
}

#[test]
fn an_unlinked_file_is_usable_while_it_is_open() {
    let Some(disk) = Disk::strict() else { return };
    let mut file = File::options().read(true).write(true).create_new(true).open(disk.path("file")).unwrap();
    disk.remove("file");
    file.write_all(b"data").unwrap();
    // More than enough other files to have those without a name dropped.
    let large = "x".repeat(10 << 20);
    for _ in 0..10 {
        disk.write("large", &large);
        disk.remove("large");
    }
    file.rewind().unwrap();
    let mut data = String::new();
    file.read_to_string(&mut data).unwrap();
    assert_eq!((data.as_str(), file.metadata().unwrap().nlink()), ("data", 0));
}

#[test]
fn what_a_crash_brings_back_is_not_dropped_before() {
    let Some(disk) = Disk::strict() else { return };
    disk.mkdir("folder");
    disk.write("folder/file", "durable");
    disk.faults.sync();
    fs::remove_dir_all(disk.path("folder")).unwrap();
    let large = "x".repeat(10 << 20);
    for _ in 0..10 {
        disk.write("large", &large);
        disk.remove("large");
    }
    disk.faults.crash();
    assert_eq!(disk.read("folder/file").as_deref(), Some("durable"));
}

#[test]
fn a_folder_that_changes_while_it_is_read_shows_what_stays_exactly_once() {
    let Some(disk) = Disk::strict() else { return };
    let stays: HashSet<String> = (0..1000).map(|number| format!("stays-{number}")).collect();
    stays.iter().for_each(|name| disk.write(name, ""));
    let mut seen = Vec::new();
    for (number, entry) in fs::read_dir(disk.root()).unwrap().enumerate() {
        disk.write(&format!("a-new-{number}"), "");
        if number % 2 == 1 {
            disk.remove(&format!("a-new-{}", number - 1));
        }
        seen.push(entry.unwrap().file_name().into_string().unwrap());
    }
    seen.retain(|name| stays.contains(name));
    assert_eq!(seen.len(), 1000);
    assert_eq!(HashSet::from_iter(seen), stays);
}

#[test]
fn an_open_folder_that_is_rewound_shows_new_names() {
    let Some(disk) = Disk::strict() else { return };
    disk.write("old", "");
    let mut folder = Dir::read_from(File::open(disk.root()).unwrap()).unwrap();
    assert_eq!(folder.by_ref().count(), 3, "with . and ..");
    disk.write("new", "");
    folder.rewind();
    assert_eq!(folder.count(), 4);
}

#[test]
fn locks_exclude_each_other() {
    let Some(disk) = Disk::strict() else { return };
    let [one, two] = [(); 2].map(|()| File::create(disk.path("lock")).unwrap());
    flock(&one, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(flock(&two, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK));
    drop(one);
    flock(&two, FlockOperation::NonBlockingLockExclusive).unwrap();
}

#[test]
fn sockets_and_pipes_connect_processes() {
    let Some(disk) = Disk::strict() else { return };
    let listener = UnixListener::bind(disk.path("socket")).unwrap();
    UnixStream::connect(disk.path("socket")).unwrap().write_all(b"hello").unwrap();
    let mut received = String::new();
    listener.accept().unwrap().0.read_to_string(&mut received).unwrap();
    assert_eq!(received, "hello");
    assert!(fs::metadata(disk.path("socket")).unwrap().file_type().is_socket());

    assert!(Command::new("mkfifo").arg(disk.path("pipe")).status().unwrap().success());
    let script = "echo hello > pipe & cat pipe";
    let output = Command::new("sh").args(["-c", script]).current_dir(disk.root()).output().unwrap();
    assert_eq!(output.stdout, b"hello\n");
}

#[test]
fn there_is_plenty_of_space() {
    let Some(disk) = Disk::strict() else { return };
    let space = statvfs(disk.root()).unwrap();
    assert!(space.f_bavail * space.f_frsize > 100 << 30);
    assert!(space.f_favail > 1_000_000);
}
