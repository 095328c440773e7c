//! Programs that know nothing of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use rustix::io::Errno;

use crate::Disk;

fn shell(folder: &Path, script: &str) -> String {
    let Output { status, stdout, stderr } =
        Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(status.success(), "{script}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn scripts_and_binaries_run_from_it_also_after_a_crash() {
    let Some(disk) = Disk::strict() else { return };
    disk.write("script", "#!/bin/sh\necho \"script $1\"\n");
    assert!(Command::new(disk.path("script")).output().is_err(), "it is not executable yet");
    fs::set_permissions(disk.path("script"), Permissions::from_mode(0o755)).unwrap();
    fs::copy("/bin/echo", disk.path("echo")).unwrap();
    symlink("echo", disk.path("link")).unwrap();
    disk.faults.sync();
    for _ in 0..2 {
        assert_eq!(shell(disk.root(), "./script one; ./echo two; ./link three"), "script one\ntwo\nthree\n");
        disk.faults.crash();
    }
}

#[test]
fn shared_libraries_are_loaded_from_it() {
    let Some(disk) = Disk::strict() else { return };
    let script = "cp $(ldd /bin/ls | grep -o '/[^ ]*') . && LD_LIBRARY_PATH=$PWD /bin/ls -d /";
    assert_eq!(shell(disk.root(), script), "/\n");
}

#[test]
fn git_works_in_it() {
    let Some(disk) = Disk::strict() else { return };
    let script = "git init -q . && git config user.name a && git config user.email a@example.org
        mkdir src && for n in $(seq 50); do echo $n > src/$n; done
        git add . && git commit -qm one && echo more >> src/1 && git commit -qam two && git gc -q
        git fsck --strict && git clone -q . copy && git -C copy log --oneline | wc -l && git status --porcelain";
    assert_eq!(shell(disk.root(), script), "2\n?? copy/\n");
}

#[test]
fn a_tree_of_2000_files_is_copied_and_packed_without_a_difference() {
    let Some(disk) = Disk::strict() else { return };
    let source = tempfile::tempdir().unwrap();
    for number in 0..2000 {
        let folder = source.path().join((number % 20).to_string());
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("file-{number}"));
        fs::write(&file, number.to_string().repeat(number)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600 + number as u32 % 0o100)).unwrap();
        if number % 100 == 0 {
            symlink(&file, folder.join(format!("link-{number}"))).unwrap();
            fs::hard_link(&file, folder.join(format!("hard-{number}"))).unwrap();
        }
    }
    let list = "find . -printf '%P %y %m %U %G %T@ %l %n\\n' | sed 's/ d \\(.*\\) [0-9]*$/ d \\1/' | sort";
    let expected = shell(source.path(), list);
    let start = Instant::now();
    shell(source.path(), &format!("cp -a . {}/copied", disk.root().display()));
    println!("cp -a of 2000 files: {:?}", start.elapsed());
    let start = Instant::now();
    shell(
        disk.root(),
        "mkdir unpacked && tar -C copied --format=posix -cf archive.tar . && tar -C unpacked -xpf archive.tar",
    );
    println!("tar there and back: {:?}", start.elapsed());

    disk.faults.sync();
    disk.faults.crash();
    for copy in ["copied", "unpacked"] {
        shell(source.path(), &format!("diff -r --no-dereference . {}", disk.path(copy).display()));
        assert!(shell(&disk.path(copy), list) == expected, "{copy} has other modes, times, links or owners");
    }
    shell(disk.root(), "rm -r copied unpacked archive.tar");
    assert_eq!(disk.list(""), [""; 0]);
}

#[test]
fn a_file_of_100_megabytes_is_written_and_read() {
    let Some(disk) = Disk::strict() else { return };
    let data: Vec<u8> = (0..100u32 << 18).flat_map(|number| number.to_le_bytes()).collect();
    let start = Instant::now();
    fs::write(disk.path("large"), &data).unwrap();
    println!("writing 100 MB: {:?}", start.elapsed());
    let start = Instant::now();
    disk.sync("large");
    disk.sync("");
    disk.faults.crash();
    println!("sync and crash: {:?}", start.elapsed());
    let start = Instant::now();
    assert!(fs::read(disk.path("large")).unwrap() == data);
    println!("reading 100 MB: {:?}", start.elapsed());
    assert_eq!(fs::metadata(disk.path("large")).unwrap().len(), 100 << 20);
}

/// A program that is known to survive a power cut shows that the durable tree is neither too poor nor too rich.
#[test]
fn sqlite_loses_no_committed_transaction_wherever_the_disk_stops() {
    const PROGRAM: &str = "import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
if sys.argv[2] == 'create':
    database.execute('CREATE TABLE numbers (number, data)')
elif sys.argv[2] == 'check':
    print(database.execute('PRAGMA integrity_check').fetchone()[0])
    print(database.execute('SELECT count(*) FROM numbers').fetchone()[0])
else:
    database.execute(f'PRAGMA synchronous={sys.argv[2]}')
    for number in range(1, 3):
        database.execute('BEGIN')
        for _ in range(number):
            database.execute('INSERT INTO numbers VALUES (?, zeroblob(5000))', [number])
        database.execute('COMMIT')
        print(number, flush=True)";
    fn sqlite(database: &Path, argument: &str) -> Output {
        Command::new("python3").args(["-ISc", PROGRAM]).arg(database).arg(argument).output().unwrap()
    }
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    if !Command::new("python3").args(["-c", "import sqlite3"]).status().is_ok_and(|status| status.success()) {
        return eprintln!("SKIPPED: no python3 with sqlite3");
    }
    assert!(sqlite(&empty, "create").status.success());
    for (synchronous, may_lose) in [("EXTRA", false), ("OFF", true)] {
        for operations in 0.. {
            let Some(disk) = Disk::strict() else { return };
            let database = disk.path("database");
            fs::copy(&empty, &database).unwrap();
            disk.faults.sync();
            disk.faults.fail_after(operations, Errno::IO);
            let Output { status, stdout, .. } = sqlite(&database, synchronous);
            let committed = String::from_utf8_lossy(&stdout).lines().count();
            disk.faults.crash();
            disk.faults.heal();

            let checked = sqlite(&database, "check").stdout;
            let expected = [committed, committed + 1].map(|last| format!("ok\n{}\n", (1..=last).sum::<usize>()));
            let lost = !expected.iter().any(|expected| expected.as_bytes() == checked);
            assert!(may_lose || !lost, "after {operations} operations: {}", String::from_utf8_lossy(&checked));
            if lost {
                break;
            }
            if status.success() {
                assert!(!may_lose, "without fsync, it must lose something");
                assert!(operations > 20, "the disk never stopped");
                break;
            }
        }
    }
}
