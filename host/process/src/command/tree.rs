//! Ending a program with all that it has started.

use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long a process may take to stop.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often it is looked whether it has.
const GLANCE: Duration = Duration::from_micros(200);

/// Kills the leader of a process group, the rest of its group, and all that descends from it.
///
/// What has left both its group and its parent, as daemons do, is not found. Where the leader has
/// ended already, only its group is.
pub fn kill_tree(leader: Pid) {
    // Some may have ended by themselves, or be somebody else's. None of them is to start another
    // while the others are looked for.
    _ = kill_process_group(leader, Signal::STOP);
    let mut found = vec![leader];
    loop {
        let new: Vec<_> =
            found.iter().flat_map(|parent| children(*parent)).filter(|pid| !found.contains(pid)).collect();
        for child in &new {
            _ = kill_process(*child, Signal::STOP);
        }
        found.extend(&new);
        // One that was about to start another when it was told to stop has done so, or never will.
        if await_standstill(&found) && new.is_empty() {
            break;
        }
    }
    _ = kill_process_group(leader, Signal::KILL);
    for descendant in &found[1..] {
        _ = kill_process(*descendant, Signal::KILL);
    }
}

/// Waits until none of these is at work any more; not for long, as a process can be beyond reach.
/// Says whether there was nothing to wait for.
fn await_standstill(pids: &[Pid]) -> bool {
    let is_at_work = |pid: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
        // Its name, before this, can hold anything.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        !matches!(state, None | Some('T' | 't' | 'Z' | 'X'))
    };
    let begun = Instant::now();
    let mut waited = false;
    while begun.elapsed() < PATIENCE && pids.iter().any(is_at_work) {
        waited = true;
        thread::sleep(GLANCE);
    }
    !waited || begun.elapsed() >= PATIENCE
}

/// The processes that a process has started, as the kernel lists them for each of its threads.
fn children(parent: Pid) -> impl Iterator<Item = Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", parent.as_raw_pid())).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::Command;

    #[test]
    fn what_left_the_group_is_killed_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = folder.path().join("pid");
        // A session of its own is a group of its own.
        let script = format!("setsid sh -c 'echo $$ >{0}.new; mv {0}.new {0}; sleep 1000' & wait", note.display());
        let started = Command::new("sh", ["-c", &script], Path::new("/")).start_in_group().expect("it starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        let pid = loop {
            match fs::read_to_string(&note) {
                Ok(text) => break text.trim().to_owned(),
                Err(_) => assert!(Instant::now() < deadline, "it doesn't begin"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let left = children(Pid::from_raw(pid.parse().expect("a number")).expect("a process")).collect::<Vec<_>>();
        assert_eq!(left.len(), 1, "sleep is its child");

        kill_tree(started.pid());

        assert!(!started.stream(|_| {}).expect("it ends").success());
        let is_gone = |pid: &str| {
            let state = fs::read_to_string(format!("/proc/{pid}/stat"));
            state.map_or(true, |text| text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
        };
        for pid in [pid, left[0].as_raw_pid().to_string()] {
            while !is_gone(&pid) {
                assert!(Instant::now() < deadline, "{pid} goes on");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
