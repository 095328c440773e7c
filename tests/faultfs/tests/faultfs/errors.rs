//! Errors on demand.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::symlink;

use rustix::io::Errno;

use crate::Disk;

/// Does a changing operation of each kind, and tells which ones give which error.
fn failures(disk: &Disk, errno: Errno) -> Vec<&'static str> {
    let mut open = File::options().append(true).open(disk.path("file")).unwrap();
    let root = File::open(disk.root()).unwrap();
    let results = [
        ("write", open.write_all(b"more")),
        ("fsync", open.sync_all()),
        ("create", File::create_new(disk.path("created")).map(drop)),
        ("mkdir", fs::create_dir(disk.path("made"))),
        ("symlink", symlink("target", disk.path("symlink"))),
        ("link", fs::hard_link(disk.path("file"), disk.path("link"))),
        ("rename", fs::rename(disk.path("renamed"), disk.path("again"))),
        ("unlink", fs::remove_file(disk.path("unlinked"))),
        ("rmdir", fs::remove_dir(disk.path("folder"))),
        ("truncate", open.set_len(1)),
        ("fsyncdir", root.sync_all()),
    ];
    let failed = |(name, result): (_, io::Result<()>)| match result {
        Ok(()) => None,
        Err(error) => {
            assert_eq!(Errno::from_io_error(&error), Some(errno), "{name}");
            Some(name)
        }
    };
    results.into_iter().filter_map(failed).collect()
}

fn prepared() -> Option<Disk> {
    let disk = Disk::strict()?;
    for name in ["file", "renamed", "unlinked"] {
        disk.write(name, "data");
    }
    disk.mkdir("folder");
    Some(disk)
}

const ALL: [&str; 11] =
    ["write", "fsync", "create", "mkdir", "symlink", "link", "rename", "unlink", "rmdir", "truncate", "fsyncdir"];

#[test]
fn a_full_disk_fails_what_needs_space_and_nothing_else() {
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        let Some(disk) = prepared() else { return };
        disk.faults.fail_after(0, errno);
        assert_eq!(failures(&disk, errno), ["write", "fsync", "create", "mkdir", "symlink", "link"]);
    }
}

#[test]
fn a_broken_disk_fails_all_changes_and_no_reads() {
    let Some(disk) = prepared() else { return };
    disk.faults.fail_after(0, Errno::IO);
    assert_eq!(failures(&disk, Errno::IO), ALL);
    assert_eq!(disk.read("file").as_deref(), Some("data"));
    assert_eq!(disk.list(""), ["file", "folder", "renamed", "unlinked"], "nothing has changed");
}

#[test]
fn a_healed_disk_fails_nothing() {
    let Some(disk) = prepared() else { return };
    disk.faults.fail_after(0, Errno::IO);
    assert_eq!(failures(&disk, Errno::IO), ALL);
    disk.faults.heal();
    assert_eq!(failures(&disk, Errno::IO), [""; 0]);
}

#[test]
fn a_fault_starts_after_the_given_number_of_operations() {
    for operations in 0..ALL.len() {
        let Some(disk) = prepared() else { return };
        disk.faults.fail_after(operations as u64, Errno::IO);
        assert_eq!(failures(&disk, Errno::IO), ALL[operations..]);
    }
}

#[test]
fn each_operation_that_succeeds_is_counted_once() {
    let Some(disk) = prepared() else { return };
    let before = disk.faults.operations();
    assert_eq!(failures(&disk, Errno::IO), [""; 0]);
    assert_eq!(disk.faults.operations() - before, ALL.len() as u64);

    disk.write("made/file", "data");
    let before = disk.faults.operations();
    assert!(fs::create_dir(disk.path("made")).is_err(), "it exists");
    assert!(fs::remove_dir(disk.path("missing")).is_err());
    assert!(fs::remove_dir(disk.path("made")).is_err(), "it is not empty");
    disk.faults.fail_after(0, Errno::IO);
    assert!(fs::create_dir(disk.path("new")).is_err());
    disk.faults.heal();
    assert_eq!(disk.read("file").as_deref(), Some("d"));
    assert_eq!(disk.list("").len(), 6);
    disk.faults.crash();
    assert_eq!(disk.faults.operations(), before, "failed operations, reads and crashes are not counted");
}

#[test]
fn data_whose_sync_failed_is_not_durable() {
    let Some(disk) = Disk::strict() else { return };
    disk.write("file", "old");
    disk.faults.sync();
    let mut file = File::options().append(true).open(disk.path("file")).unwrap();
    disk.faults.fail_after(1, Errno::IO);
    file.write_all(b" new").unwrap();
    assert!(file.sync_all().is_err());
    disk.faults.crash();
    assert_eq!(disk.read("file").as_deref(), Some("old"));
    disk.faults.heal();
    disk.write("file", "works again");
}
