//! Finds and ends the processes that belong to a folder.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::{Pid, Signal, getpid, kill_process};

/// How long a process may take to end before it is killed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The processes that run in `folder`, or whose program, arguments or environment contain a path in it.
///
/// The folder's name must be unique on the machine.
pub fn of(folder: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw))
        .filter(|pid| *pid != getpid() && belongs(*pid, folder))
        .collect()
}

/// Ends the processes of `folder`: first with SIGTERM, then with SIGKILL.
pub fn end(folder: &Path) {
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = Instant::now() + TIMEOUT;
        // Repeated, because a process may have started another one just before it ended.
        while Instant::now() < deadline {
            let pids = of(folder);
            if pids.is_empty() {
                return;
            }
            for pid in pids {
                // An error means that it has already ended.
                _ = kill_process(pid, signal);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// When a process was started, in ticks of the kernel; the latest possible time if it has ended.
pub fn start_time(pid: Pid) -> u64 {
    let text = fs::read_to_string(process(pid).join("stat")).unwrap_or_default();
    // The name of the program, in parentheses, can contain anything.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or(u64::MAX)
}

/// The program and the arguments of a process; empty if it has ended.
pub fn arguments(pid: Pid) -> Vec<String> {
    let text = fs::read(process(pid).join("cmdline")).unwrap_or_default();
    let words = text.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The environment of a process, each variable as `NAME=value`; empty if it has ended.
pub fn environment(pid: Pid) -> Vec<String> {
    let text = fs::read(process(pid).join("environ")).unwrap_or_default();
    let words = text.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// The TCP addresses where a process listens, in the kernel's notation: `0100007F:0FA0` is port 4000 of 127.0.0.1.
pub fn listening(pid: Pid) -> Result<Vec<String>> {
    const LISTEN: &str = "0A";
    let sockets: Vec<String> = fs::read_dir(process(pid).join("fd"))?
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok()?.into_os_string().into_string().ok())
        .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let mut addresses = Vec::new();
    for table in ["net/tcp", "net/tcp6"] {
        // A kernel without IPv6 does not have the second table.
        let table = fs::read_to_string(process(pid).join(table)).unwrap_or_default();
        let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let own =
            lines.filter(|line| line.len() > 9 && line[3] == LISTEN && sockets.iter().any(|inode| inode == line[9]));
        addresses.extend(own.map(|line| line[1].to_owned()));
    }
    Ok(addresses)
}

/// The number of child processes of `pid`.
pub(crate) fn children(pid: Pid) -> usize {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    let parent = format!("PPid:\t{}\n", pid.as_raw_nonzero());
    let is_child = |status: &String| status.contains(&parent);
    entries.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok()).filter(is_child).count()
}

fn process(pid: Pid) -> PathBuf {
    Path::new("/proc").join(pid.as_raw_nonzero().to_string())
}

fn belongs(pid: Pid, folder: &Path) -> bool {
    let process = process(pid);
    let is_in = |link| fs::read_link(process.join(link)).is_ok_and(|path| path.starts_with(folder));
    let names = |file| fs::read(process.join(file)).is_ok_and(|text| contains(&text, folder.as_os_str().as_bytes()));
    is_in("cwd") || is_in("exe") || names("cmdline") || names("environ")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_listening_addresses_of_a_process_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let addresses = listening(getpid()).unwrap();
        assert!(addresses.contains(&format!("0100007F:{port:04X}")), "{addresses:?}");
    }
}
