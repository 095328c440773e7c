//! Commands with their own mounts.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, geteuid};

use crate::Sandbox;

/// A command that runs the shell script `script` in `folder`, where it may mount anything: only this command sees its
/// mounts. None if this machine does not allow mounts, as in some containers.
pub fn apart(sandbox: &Sandbox, folder: &Path, script: &str) -> Option<Command> {
    let allowed = unshare(Command::new("unshare")).arg("true").stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this user cannot mount anything on this machine");
        return None;
    }
    let mut command = unshare(sandbox.command("unshare", folder));
    command.args(["sh", "-ec", script]);
    Some(command)
}

/// A command that runs `program` in `folder` with the mounts of the process `pid`.
pub fn with_mounts_of(pid: Pid, sandbox: &Sandbox, program: &str, folder: &Path) -> Command {
    let mut command = sandbox.command("nsenter", Path::new("/"));
    if !geteuid().is_root() {
        command.args(["--user", "--preserve-credentials"]);
    }
    command.args(["--mount", "--target"]).arg(pid.as_raw_nonzero().to_string()).args(["env", "--chdir"]).arg(folder);
    command.arg(program);
    command
}

fn unshare(mut command: Command) -> Command {
    if !geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "--propagation", "private"]);
    command
}
