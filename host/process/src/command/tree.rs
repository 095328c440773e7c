//! Kills a program with all processes that it has started.

use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long to wait until processes have stopped.
const STOP_TIMEOUT: Duration = Duration::from_millis(100);
/// How often to check whether they have.
const POLL_INTERVAL: Duration = Duration::from_micros(200);

/// Kills the leader of a process group, the rest of its group, and all of its descendants.
///
/// Doesn't find processes that have left both the group and their parent, as daemons do. If the leader has ended
/// already, finds only its group.
pub fn kill_tree(leader: Pid) {
    // Stops the processes first, so that none can start another during the search. Signals fail for processes that
    // have ended or belong to another user.
    _ = kill_process_group(leader, Signal::STOP);
    let mut found = vec![leader];
    loop {
        let new: Vec<_> =
            found.iter().flat_map(|parent| children(*parent)).filter(|pid| !found.contains(pid)).collect();
        for child in &new {
            _ = kill_process(*child, Signal::STOP);
        }
        found.extend(&new);
        // Once all are stopped, none can be in the middle of starting another.
        if wait_until_stopped(&found) && new.is_empty() {
            break;
        }
    }
    _ = kill_process_group(leader, Signal::KILL);
    for descendant in &found[1..] {
        _ = kill_process(*descendant, Signal::KILL);
    }
}

/// Waits until these processes have stopped, up to a timeout, because a process may belong to another user. Returns
/// true if all were stopped already or the timeout is over.
fn wait_until_stopped(pids: &[Pid]) -> bool {
    let is_running = |pid: &Pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
        // The process name, before this, can contain any character.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        !matches!(state, None | Some('T' | 't' | 'Z' | 'X'))
    };
    let started_at = Instant::now();
    let mut waited = false;
    while started_at.elapsed() < STOP_TIMEOUT && pids.iter().any(is_running) {
        waited = true;
        thread::sleep(POLL_INTERVAL);
    }
    !waited || started_at.elapsed() >= STOP_TIMEOUT
}

/// The child processes of a process, which the kernel lists for each of its threads.
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
    fn a_descendant_in_another_process_group_is_killed_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = folder.path().join("pid");
        // A new session is also a new process group.
        let script = format!("setsid sh -c 'echo $$ >{0}.new; mv {0}.new {0}; sleep 1000' & wait", note.display());
        let started = Command::new("sh", ["-c", &script], Path::new("/")).start_in_group().expect("it starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        let pid = loop {
            match fs::read_to_string(&note) {
                Ok(text) => break text.trim().to_owned(),
                Err(_) => assert!(Instant::now() < deadline, "it doesn't start"),
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
                assert!(Instant::now() < deadline, "{pid} keeps running");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
