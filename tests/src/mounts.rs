//! Commands that see other files than the rest of the machine.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, geteuid};

use crate::Sandbox;

/// `script` of a shell, to be run in `folder` where it may mount what it likes: nobody else will
/// see it. None on a machine that doesn't allow that, as in some containers.
pub fn apart(sandbox: &Sandbox, folder: &Path, script: &str) -> Option<Command> {
    let allowed = unshare(Command::new("unshare")).arg("true").stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: this machine does not let this user mount anything");
        return None;
    }
    let mut command = unshare(sandbox.command("unshare", folder));
    command.args(["sh", "-ec", script]);
    Some(command)
}

/// `program`, to be run in `folder` with the files that the process `pid` sees.
pub fn beside(pid: Pid, sandbox: &Sandbox, program: &str, folder: &Path) -> Command {
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
