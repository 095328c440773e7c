//! Really runs a program, for tests that ask for it.

use std::env;
use std::io::{self, ErrorKind, Read};
use std::process::{Command, ExitStatus, Stdio};

use crate::{Bash, Output, ProcessError};

/// The variables that a program gets on a server, in addition to those that the hook sets.
const VARIABLES: [&str; 3] = ["PATH", "HOME", "LANG"];

pub(super) fn run(command: &Bash) -> Result<Output, ProcessError> {
    run_program(command).map_err(|error| match error.kind() {
        ErrorKind::NotFound => ProcessError::NotFound(format!("there is no program `{}`", command.program)),
        _ => ProcessError::Failed(format!("cannot run `{command}`: {error}")),
    })
}

fn run_program(command: &Bash) -> io::Result<Output> {
    // One pipe for both outputs, so that lines keep their order.
    let (mut reader, writer) = io::pipe()?;
    let mut program = Command::new(&command.program);
    program
        .args(&command.args)
        .env_clear()
        .envs(VARIABLES.iter().filter_map(|name| Some((name, env::var_os(name)?))))
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    if let Some(folder) = &command.cd {
        program.current_dir(folder);
    }
    let mut child = program.spawn()?;
    // It contains the write end of the pipe, which must be closed for reading to end.
    drop(program);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    Ok(Output { status: status_number(child.wait()?), output: String::from_utf8_lossy(&bytes).into_owned() })
}

#[cfg(unix)]
fn status_number(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let signal = || status.signal().map(|signal| 128 + signal);
    status.code().or_else(signal).unwrap_or(-1)
}

#[cfg(not(unix))]
fn status_number(status: ExitStatus) -> i32 {
    status.code().unwrap_or(-1)
}
