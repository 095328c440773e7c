//! The programs that hooks run. When a hook ends, for whatever reason, its program is killed with all
//! processes that it started.

use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Pid;

use crate::limits::{HookLog, LimitHit};
use gatling_process::{Command, CommandError, Lines, kill_tree};

/// The state of a program.
#[derive(Clone, Copy)]
enum Progress {
    Starting,
    Running(Pid),
    Over,
}

/// Kills a program and the processes that it started when dropped. If the program has ended already, kills
/// the processes that it left in its process group.
struct KillOnDrop(Arc<Mutex<Progress>>);

impl KillOnDrop {
    /// Records that the program has started. Kills it if the hook has ended by then.
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

/// Runs a program on a separate thread, and returns its status and at most `max` bytes of its output. Dropping
/// the future kills the program.
///
/// # Errors
/// The outer error ends the hook: the program's output exceeded the limit of the log. The hook gets the
/// inner error.
pub(crate) async fn run(
    command: Command,
    log: HookLog,
    max: usize,
) -> wasmtime::Result<Result<(i32, String), CommandError>> {
    let progress = Arc::new(Mutex::new(Progress::Starting));
    let guard = KillOnDrop(Arc::clone(&progress));
    let work = move || {
        let guard = KillOnDrop(progress);
        let mut output = String::new();
        let mut is_truncated = false;
        let mut hit: Option<LimitHit> = None;
        let on_lines = |lines: Lines| {
            if hit.is_some() {
                return;
            }
            if let Err(limit) = log.output(&lines.text, lines.open) {
                hit = Some(limit);
                guard.end();
                return;
            }
            let text = format!("{}{}", lines.text, if lines.open { "" } else { "\n" });
            let remaining = max.saturating_sub(output.len());
            if !is_truncated && text.len() <= remaining {
                output.push_str(&text);
            } else if !is_truncated {
                is_truncated = true;
                // Whole lines, as far as they fit.
                let end = text[..text.floor_char_boundary(remaining)].rfind('\n').map_or(0, |end| end + 1);
                output.push_str(&text[..end]);
                output.push_str("… (truncated: the log has more of it)\n");
            }
        };
        let status = command.start_in_group().and_then(|started| {
            guard.started(started.pid());
            started.stream(on_lines)
        });
        // Processes that it left in the background are of no use without it.
        drop(guard);
        match hit {
            Some(hit) => Err(hit),
            None => Ok(status.map(|status| (gatling_process::code(status), output))),
        }
    };
    let outcome = tokio::task::spawn_blocking(work).await;
    drop(guard);
    Ok(outcome??)
}

/// Why a command cannot be run: NUL bytes, variables of the dynamic linker, invalid variable names.
pub(crate) fn invalid(command: &Command) -> Option<String> {
    let variables = command.env.iter().flat_map(|(name, value)| [name, value]);
    let mut texts = command.args.iter().map(String::as_str).chain(variables);
    if texts.any(|text| text.contains('\0')) || command.program.contains('\0') {
        return Some(format!("cannot run {:?}: its arguments or variables contain a NUL byte", command.program));
    }
    if let Some(name) = command.env.names().find(|name| name.starts_with("LD_")) {
        return Some(format!(
            "cannot run {:?} with {name}: this variable could make the program run other code",
            command.program
        ));
    }
    let name = command.env.names().find(|name| name.is_empty() || name.contains('='))?;
    Some(format!("cannot run {:?}: {name:?} is not the name of a variable", command.program))
}
