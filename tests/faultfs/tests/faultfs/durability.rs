//! What is durable, and since when.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};

use rustix::fs::OFlags;

use crate::Disk;

/// A disk with the durable file `file`, which contains `old`.
fn with_old_file(disk: Option<Disk>) -> Option<Disk> {
    let disk = disk?;
    disk.write("file", "old");
    disk.faults.sync();
    Some(disk)
}

#[test]
fn strict_a_name_is_lost_without_a_sync_of_its_folder_even_if_the_file_is_synced() {
    let Some(disk) = Disk::strict() else { return };
    disk.write("file", "data");
    disk.sync("file");
    disk.faults.crash();
    assert_eq!(disk.read("file"), None);
}

#[test]
fn strict_a_file_that_was_never_synced_is_empty_if_its_name_is_durable() {
    let Some(disk) = Disk::strict() else { return };
    disk.write("file", "data");
    disk.sync("");
    disk.faults.crash();
    assert_eq!(disk.read("file").as_deref(), Some(""));
}

#[test]
fn strict_a_file_has_the_data_the_size_and_the_mode_of_its_last_sync() {
    let Some(disk) = Disk::strict() else { return };
    disk.write("file", "first");
    fs::set_permissions(disk.path("file"), fs::Permissions::from_mode(0o640)).unwrap();
    disk.sync("file");
    disk.sync("");
    disk.write("file", "second, and longer");
    fs::set_permissions(disk.path("file"), fs::Permissions::from_mode(0o600)).unwrap();
    disk.faults.crash();
    assert_eq!(disk.read("file").as_deref(), Some("first"));
    let metadata = fs::metadata(disk.path("file")).unwrap();
    assert_eq!((metadata.len(), metadata.mode() & 0o7777), (5, 0o640));
}

#[test]
fn strict_fdatasync_makes_data_durable() {
    let Some(disk) = with_old_file(Disk::strict()) else { return };
    let mut file = File::create(disk.path("file")).unwrap();
    file.write_all(b"new").unwrap();
    file.sync_data().unwrap();
    file.write_all(b" and more").unwrap();
    disk.faults.crash();
    assert_eq!(disk.read("file").as_deref(), Some("new"));
}

#[test]
fn strict_a_write_with_o_sync_or_o_dsync_is_durable() {
    for flags in [OFlags::SYNC, OFlags::DSYNC] {
        let Some(disk) = with_old_file(Disk::strict()) else { return };
        let file = File::options().append(true).custom_flags(flags.bits() as i32).open(disk.path("file"));
        file.unwrap().write_all(b" new").unwrap();
        disk.faults.crash();
        assert_eq!(disk.read("file").as_deref(), Some("old new"));
    }
}

#[test]
fn strict_an_unlinked_name_comes_back_with_its_durable_data_until_its_folder_is_synced() {
    let Some(disk) = with_old_file(Disk::strict()) else { return };
    disk.write("file", "new");
    disk.remove("file");
    disk.faults.crash();
    assert_eq!(disk.read("file").as_deref(), Some("old"));
    disk.remove("file");
    disk.sync("");
    disk.faults.crash();
    assert_eq!(disk.read("file"), None);
}

#[test]
fn strict_a_rename_is_undone_without_a_sync_of_its_folder() {
    let Some(disk) = with_old_file(Disk::strict()) else { return };
    disk.rename("file", "renamed");
    disk.faults.crash();
    assert_eq!(disk.list(""), ["file"]);
    disk.rename("file", "renamed");
    disk.sync("");
    disk.faults.crash();
    assert_eq!(disk.list(""), ["renamed"]);
    assert_eq!(disk.read("renamed").as_deref(), Some("old"));
}

#[test]
fn strict_a_file_moved_between_folders_of_which_one_is_synced_has_both_names_or_none() {
    for (synced, names) in [("to", (true, true)), ("from", (false, false))] {
        let Some(disk) = Disk::strict() else { return };
        disk.mkdir("from");
        disk.mkdir("to");
        disk.write("from/file", "data");
        disk.faults.sync();
        disk.rename("from/file", "to/file");
        disk.sync(synced);
        disk.faults.crash();
        assert_eq!((disk.path("from/file").exists(), disk.path("to/file").exists()), names, "{synced} is synced");
        if synced == "to" {
            assert_eq!(fs::metadata(disk.path("to/file")).unwrap().nlink(), 2);
        }
    }
}

#[test]
fn strict_a_moved_folder_has_one_name_even_if_it_would_contain_itself() {
    let Some(disk) = Disk::strict() else { return };
    disk.mkdir("a");
    disk.mkdir("a/b");
    disk.write("a/b/file", "data");
    disk.faults.sync();
    disk.rename("a/b", "b");
    disk.rename("a", "b/a");
    disk.sync("b");
    // Now the durable root contains a, a contains b, and b contains a.
    disk.faults.crash();
    assert_eq!(disk.list(""), ["a"]);
    assert_eq!(disk.list("a"), ["b"]);
    assert_eq!(disk.list("a/b"), ["file"]);
}

#[test]
fn strict_a_new_folder_has_the_names_of_its_last_sync_once_the_folder_above_is_synced() {
    let Some(disk) = Disk::strict() else { return };
    disk.mkdir("folder");
    disk.write("folder/one", "1");
    disk.sync("folder/one");
    disk.sync("folder");
    disk.write("folder/two", "2");
    disk.sync("folder/two");
    disk.faults.crash();
    assert_eq!(disk.list(""), [""; 0], "the folder above was not synced");

    disk.mkdir("folder");
    disk.write("folder/one", "1");
    disk.sync("folder/one");
    disk.sync("folder");
    disk.write("folder/two", "2");
    disk.sync("folder/two");
    disk.sync("");
    disk.faults.crash();
    assert_eq!(disk.list("folder"), ["one"]);
    assert_eq!(disk.read("folder/one").as_deref(), Some("1"));
}

#[test]
fn strict_a_symlink_is_durable_with_its_name() {
    let Some(disk) = Disk::strict() else { return };
    symlink("first", disk.path("durable")).unwrap();
    disk.sync("");
    symlink("second", disk.path("lost")).unwrap();
    disk.faults.crash();
    assert_eq!(disk.list(""), ["durable"]);
    assert_eq!(fs::read_link(disk.path("durable")).unwrap().to_str(), Some("first"));
}

#[test]
fn strict_an_exchange_is_undone_without_a_sync_of_its_folder() {
    let Some(disk) = Disk::strict() else { return };
    symlink("1", disk.path("current")).unwrap();
    symlink("2", disk.path("next")).unwrap();
    disk.faults.sync();
    let exchange = || {
        let (next, current) = (disk.path("next"), disk.path("current"));
        let cwd = rustix::fs::CWD;
        rustix::fs::renameat_with(cwd, next, cwd, current, rustix::fs::RenameFlags::EXCHANGE).unwrap();
    };
    exchange();
    disk.faults.crash();
    assert_eq!(fs::read_link(disk.path("current")).unwrap().to_str(), Some("1"));
    exchange();
    disk.sync("");
    disk.faults.crash();
    assert_eq!(fs::read_link(disk.path("current")).unwrap().to_str(), Some("2"));
}

#[test]
fn strict_names_of_one_file_stay_names_of_one_file() {
    let Some(disk) = with_old_file(Disk::strict()) else { return };
    fs::hard_link(disk.path("file"), disk.path("other")).unwrap();
    disk.sync("");
    fs::hard_link(disk.path("file"), disk.path("lost")).unwrap();
    disk.faults.crash();
    assert_eq!(disk.list(""), ["file", "other"]);
    assert_eq!(fs::metadata(disk.path("file")).unwrap().nlink(), 2);
    disk.write("file", "new");
    assert_eq!(disk.read("other").as_deref(), Some("new"));
}

/// Writes a new file and renames it onto `file`.
fn replace(disk: &Disk, sync_file: bool, sync_folder: bool) {
    let mut file = File::create(disk.path("new")).unwrap();
    file.write_all(b"new").unwrap();
    if sync_file {
        file.sync_all().unwrap();
    }
    disk.rename("new", "file");
    if sync_folder {
        disk.sync("");
    }
}

#[test]
fn strict_a_replaced_file_is_new_only_if_both_file_and_folder_are_synced() {
    for (sync_file, sync_folder, left) in
        [(true, true, "new"), (false, true, ""), (true, false, "old"), (false, false, "old")]
    {
        let Some(disk) = with_old_file(Disk::strict()) else { return };
        replace(&disk, sync_file, sync_folder);
        disk.faults.crash();
        assert_eq!(disk.read("file").as_deref(), Some(left), "synced: file {sync_file}, folder {sync_folder}");
        assert_eq!(disk.list(""), ["file"]);
    }
}

#[test]
fn ordered_a_replaced_file_is_new_if_it_was_synced_and_otherwise_empty() {
    for (sync_file, left) in [(true, "new"), (false, "")] {
        let Some(disk) = with_old_file(Disk::ordered()) else { return };
        replace(&disk, sync_file, false);
        disk.faults.crash();
        assert_eq!(disk.read("file").as_deref(), Some(left), "synced: {sync_file}");
    }
}

#[test]
fn ordered_names_are_durable_at_once() {
    let Some(disk) = with_old_file(Disk::ordered()) else { return };
    disk.mkdir("folder");
    disk.rename("file", "folder/moved");
    symlink("target", disk.path("link")).unwrap();
    disk.write("gone", "data");
    disk.remove("gone");
    fs::hard_link(disk.path("folder/moved"), disk.path("other")).unwrap();
    disk.faults.crash();
    assert_eq!(disk.list(""), ["folder", "link", "other"]);
    assert_eq!(disk.read("folder/moved").as_deref(), Some("old"));
    assert_eq!(fs::metadata(disk.path("other")).unwrap().nlink(), 2);
    assert_eq!(fs::read_link(disk.path("link")).unwrap().to_str(), Some("target"));
}

#[test]
fn ordered_data_is_durable_only_with_a_sync() {
    let Some(disk) = with_old_file(Disk::ordered()) else { return };
    let mut file = File::options().append(true).open(disk.path("file")).unwrap();
    file.write_all(b" synced").unwrap();
    file.sync_data().unwrap();
    file.write_all(b" lost").unwrap();
    disk.faults.crash();
    assert_eq!(disk.read("file").as_deref(), Some("old synced"));
}

#[test]
fn ordered_modes_and_truncations_are_durable_at_once() {
    let Some(disk) = with_old_file(Disk::ordered()) else { return };
    fs::set_permissions(disk.path("file"), fs::Permissions::from_mode(0o600)).unwrap();
    disk.write("file", "truncated, then written anew");
    disk.faults.crash();
    assert_eq!(disk.read("file").as_deref(), Some(""));
    assert_eq!(fs::metadata(disk.path("file")).unwrap().mode() & 0o7777, 0o600);
}
