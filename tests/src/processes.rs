//! Finding and ending the processes that belong to a folder.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};

/// How long a process may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The processes that run in `folder`, or whose program or arguments name something in it.
///
/// The folder's name has to be one that nothing else on the machine bears.
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

/// Ends the processes of `folder`: asks them first, and kills those that don't go.
pub fn end(folder: &Path) {
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = Instant::now() + PATIENCE;
        // Asked again and again: one that is ending may have started another just before.
        while Instant::now() < deadline {
            let pids = of(folder);
            if pids.is_empty() {
                return;
            }
            for pid in pids {
                // One that is gone by now is what is wanted.
                _ = kill_process(pid, signal);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn belongs(pid: Pid, folder: &Path) -> bool {
    let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
    let is_in = |link| fs::read_link(process.join(link)).is_ok_and(|path| path.starts_with(folder));
    let named =
        fs::read(process.join("cmdline")).is_ok_and(|arguments| contains(&arguments, folder.as_os_str().as_bytes()));
    named || is_in("cwd") || is_in("exe")
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
