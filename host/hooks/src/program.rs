//! Programs that a hook runs: they end with the hook, whatever ends it, and with them what they
//! have started.

use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Pid;

use crate::limits::{HookLog, LimitHit};
use gatling_process::{Command, CommandError, Lines, kill_tree};

/// How far a program has come.
#[derive(Clone, Copy)]
enum Progress {
    Starting,
    Running(Pid),
    Over,
}

/// Kills a program with all that it has started. Of one that has ended, that is what it left in
/// its process group.
struct KillOnDrop(Arc<Mutex<Progress>>);

impl KillOnDrop {
    /// Takes note of the program's start, which may come too late for it.
    fn started(&self, group: Pid) {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *progress {
            Progress::Over => kill_tree(group),
            _ => *progress = Progress::Running(group),
        }
    }

    fn end(&self) {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Progress::Running(group) = std::mem::replace(&mut *progress, Progress::Over) {
            kill_tree(group);
        }
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a program on a thread of its own, and returns its status and at most `most` bytes of what
/// it wrote. When the future is dropped, so is the program.
///
/// # Errors
/// The outer one ends the hook: the program wrote more than the log has room for. The inner one
/// is for the hook.
pub(crate) async fn run(
    command: Command,
    log: HookLog,
    most: usize,
) -> wasmtime::Result<Result<(i32, String), CommandError>> {
    let progress = Arc::new(Mutex::new(Progress::Starting));
    let guard = KillOnDrop(Arc::clone(&progress));
    let work = move || {
        let own = KillOnDrop(progress);
        let mut output = String::new();
        let mut is_cut = false;
        let mut hit: Option<LimitHit> = None;
        let follow = |lines: Lines| {
            if hit.is_some() {
                return;
            }
            if let Err(limit) = log.output(&lines.text, lines.open) {
                hit = Some(limit);
                own.end();
                return;
            }
            let text = format!("{}{}", lines.text, if lines.open { "" } else { "\n" });
            let room = most.saturating_sub(output.len());
            if !is_cut && text.len() <= room {
                output.push_str(&text);
            } else if !is_cut {
                is_cut = true;
                // Whole lines, as far as they fit.
                let end = text[..text.floor_char_boundary(room)].rfind('\n').map_or(0, |end| end + 1);
                output.push_str(&text[..end]);
                output.push_str("… (cut here: there is more in the log)\n");
            }
        };
        let status = command.start_in_group().and_then(|started| {
            own.started(started.pid());
            started.stream(follow)
        });
        // What it left running in its group is of no use to anybody without it.
        drop(own);
        match hit {
            Some(hit) => Err(hit),
            None => Ok(status.map(|status| (gatling_process::code(status), output))),
        }
    };
    let outcome = tokio::task::spawn_blocking(work).await;
    drop(guard);
    Ok(outcome??)
}

/// What the system can't take: NUL bytes, and variables without a name.
pub(crate) fn unfit(command: &Command) -> Option<String> {
    let variables = command.env.iter().flat_map(|(name, value)| [name, value]);
    let mut texts = command.args.iter().map(String::as_str).chain(variables);
    if texts.any(|text| text.contains('\0')) || command.program.contains('\0') {
        return Some(format!("cannot run {:?}: its arguments or variables have a NUL byte", command.program));
    }
    if let Some(name) = command.env.names().find(|name| name.starts_with("LD_")) {
        return Some(format!("cannot run {:?} with {name}: it would have the program run other code", command.program));
    }
    let name = command.env.names().find(|name| name.is_empty() || name.contains('='))?;
    Some(format!("cannot run {:?}: {name:?} is no name of a variable", command.program))
}
