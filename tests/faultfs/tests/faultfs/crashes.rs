//! The crash itself: at once, and seen by all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::Disk;

fn errno<T>(result: io::Result<T>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

#[test]
fn what_is_open_gives_eio_even_if_it_was_read_before() {
    let Some(disk) = Disk::strict() else { return };
    disk.mkdir("folder");
    disk.write("folder/file", "data");
    disk.faults.sync();
    let mut file = File::options().read(true).write(true).open(disk.path("folder/file")).unwrap();
    let mut data = String::new();
    file.read_to_string(&mut data).unwrap();
    assert_eq!(data, "data");
    let folder = File::open(disk.path("folder")).unwrap();
    let root = File::open(disk.root()).unwrap();

    disk.faults.crash();
    assert_eq!(errno(file.read_at(&mut [0; 4], 0)), Some(Errno::IO));
    assert_eq!(errno(file.write_all(b"lost")), Some(Errno::IO));
    assert_eq!(errno(file.sync_all()), Some(Errno::IO));
    assert_eq!(errno(file.metadata()), Some(Errno::IO));
    assert_eq!(errno(file.set_len(1)), Some(Errno::IO));
    assert_eq!(errno(folder.sync_all()), Some(Errno::IO));
    assert_eq!(errno(root.sync_all()), Some(Errno::IO));
    assert_eq!(disk.read("folder/file").as_deref(), Some("data"), "opened anew, it works");
}

#[test]
fn an_open_file_cannot_write_into_what_survived() {
    let Some(disk) = Disk::ordered() else { return };
    disk.write("file", "durable");
    disk.faults.sync();
    let mut file = File::options().append(true).open(disk.path("file")).unwrap();
    disk.faults.crash();
    assert!(file.write_all(b" more").is_err());
    drop(file);
    assert_eq!(disk.read("file").as_deref(), Some("durable"));
}

#[test]
fn names_and_contents_that_were_looked_up_before_are_not_remembered() {
    let Some(disk) = Disk::strict() else { return };
    disk.write("file", "old");
    disk.faults.sync();
    disk.write("file", "newer");
    disk.write("other", "lost");
    assert_eq!((disk.read("file").as_deref(), disk.read("other").as_deref()), (Some("newer"), Some("lost")));
    disk.faults.crash();
    assert_eq!((disk.read("file").as_deref(), disk.read("other")), (Some("old"), None));
    disk.write("other", "new");
    assert_eq!(disk.list(""), ["file", "other"]);
}

#[test]
fn a_crash_right_after_a_crash_changes_nothing() {
    let Some(disk) = Disk::strict() else { return };
    disk.mkdir("folder");
    disk.write("folder/file", "data");
    disk.faults.sync();
    for _ in 0..3 {
        disk.faults.crash();
        assert_eq!(disk.read("folder/file").as_deref(), Some("data"));
    }
}

#[test]
fn a_crash_while_programs_work_leaves_a_file_system_that_works() {
    for disk in [Disk::strict(), Disk::ordered()] {
        let Some(disk) = disk else { return };
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for worker in 0..4 {
                let (disk, done) = (&disk, &done);
                scope.spawn(move || {
                    let (new, name) = (disk.path(&format!("new-{worker}")), disk.path(&format!("file-{worker}")));
                    while !done.load(Ordering::Relaxed) {
                        // What a crash interrupts may fail.
                        let _ = fs::write(&new, "x".repeat(100_000));
                        let _ = File::open(&new).and_then(|file| file.sync_all());
                        let _ = fs::rename(&new, &name);
                        let _ = File::open(disk.root()).and_then(|root| root.sync_all());
                        let _ = fs::read(&name);
                    }
                });
            }
            for _ in 0..50 {
                thread::sleep(Duration::from_millis(5));
                disk.faults.crash();
            }
            done.store(true, Ordering::Relaxed);
        });
        disk.mkdir("folder");
        disk.write("folder/file", "works");
        disk.faults.sync();
        disk.faults.crash();
        assert_eq!(disk.read("folder/file").as_deref(), Some("works"));
    }
}

#[test]
fn memory_that_maps_a_file_is_lost_too() {
    let Some(disk) = Disk::strict() else { return };
    let script = "import mmap, sys
file = open(sys.argv[1], 'r+b')
memory = mmap.mmap(file.fileno(), 0)
memory[0:3] = b'new'
print('mapped', flush=True)
sys.stdin.readline()
memory[0]";
    if !Command::new("python3").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED: no python3");
    }
    disk.write("file", "old");
    disk.faults.sync();
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(disk.path("file")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = [0; 7];
    child.stdout.as_mut().unwrap().read_exact(&mut output).unwrap();
    assert_eq!(disk.read("file").as_deref(), Some("new"));
    disk.faults.crash();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(!child.wait().unwrap().success(), "it reads what is not there");
    assert_eq!(disk.read("file").as_deref(), Some("old"));
}

#[test]
fn a_busy_file_system_is_unmounted_when_it_is_dropped() {
    let Some(Disk { faults, folder }) = Disk::strict() else { return };
    let path = folder.path().join("file");
    let mut file = File::create(&path).unwrap();
    let mut child = Command::new("sleep").arg("60").current_dir(folder.path()).spawn().unwrap();
    let start = Instant::now();
    drop(faults);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!path.exists());
    assert!(file.write_all(b"data").is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    child.kill().unwrap();
    child.wait().unwrap();
    folder.close().unwrap();
}
