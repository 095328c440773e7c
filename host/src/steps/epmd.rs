//! Erlang's port mapper: the first node that needs it starts it, and nobody ends it.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::command::Command;
use crate::run::log::RunLog;

/// Ends every epmd whose program lies in the folder, unless a node is registered with it.
pub(super) fn end(releases: &Path, log: &RunLog) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else { continue };
        let Ok(program) = fs::read_link(entry.path().join("exe")) else { continue };
        if !program.starts_with(releases) || !program.ends_with("epmd") {
            continue;
        }
        let mut names = Command::new(&program.display().to_string(), ["-names"], Path::new("/"));
        names.env.push(("ERL_EPMD_ADDRESS".to_owned(), "127.0.0.1".to_owned()));
        let is_needed = names.output().is_ok_and(|text| text.lines().any(|line| line.starts_with("name ")));
        if !is_needed && kill_process(pid, Signal::TERM).is_ok() {
            log.output("ended epmd, which no app needs any more");
        }
    }
}
