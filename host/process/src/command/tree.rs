//! Kills a program with all processes that it has started.

use std::collections::HashSet;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group, set_child_subreaper};

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

/// Makes this process the parent of all descendants whose own parent ends, so that [`kill_descendants`] finds them.
///
/// # Errors
/// When the system call fails.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Kills the descendants of this process, except those that are `spared`, and the ancestors and descendants of those.
pub fn kill_descendants(is_spared: impl Fn(Pid) -> bool) {
    let mut targets: Vec<Pid> = Vec::new();
    loop {
        let all = descendants(getpid());
        let new: Vec<_> = unspared(&all, &is_spared).into_iter().filter(|pid| !targets.contains(pid)).collect();
        for pid in &new {
            _ = kill_process(*pid, Signal::STOP);
        }
        targets.extend(&new);
        // Once all are stopped, none can be in the middle of starting another.
        if wait_until_stopped(&targets) && new.is_empty() {
            break;
        }
    }
    for pid in &targets {
        _ = kill_process(*pid, Signal::KILL);
    }
}

/// The descendants of a process, each with its parent. Parents come before their children.
#[must_use]
pub fn descendants(of: Pid) -> Vec<(Pid, Pid)> {
    let mut found: Vec<(Pid, Pid)> = children(of).map(|child| (child, of)).collect();
    let mut next = 0;
    while let Some((parent, _)) = found.get(next).copied() {
        found.extend(children(parent).map(|child| (child, parent)));
        next += 1;
    }
    found
}

/// Those that are not spared, and are neither ancestors nor descendants of a spared one.
fn unspared(all: &[(Pid, Pid)], is_spared: impl Fn(Pid) -> bool) -> Vec<Pid> {
    let mut spared: HashSet<Pid> = HashSet::new();
    for (pid, parent) in all {
        if spared.contains(parent) || is_spared(*pid) {
            spared.insert(*pid);
        }
    }
    let mut ancestors: HashSet<Pid> = HashSet::new();
    for (pid, parent) in all.iter().rev() {
        if spared.contains(pid) || ancestors.contains(pid) {
            ancestors.insert(*parent);
        }
    }
    all.iter().map(|(pid, _)| *pid).filter(|pid| !spared.contains(pid) && !ancestors.contains(pid)).collect()
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
    fn the_family_of_a_spared_process_is_not_killed() {
        let pid = |number| Pid::from_raw(number).expect("not zero");
        let all = [(2, 1), (3, 1), (4, 2), (5, 2), (6, 4)].map(|(child, parent)| (pid(child), pid(parent)));
        assert_eq!(unspared(&all, |other| other == pid(4)), [pid(3), pid(5)]);
        assert_eq!(unspared(&all, |_| false).len(), all.len());
    }

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
