//! Running commands; what they write are events.

use std::time::Instant;

use anyhow::{Context as _, Result};
use gatling_process::{Command, CommandError, Lines, describe};
use gatling_runs::{Event, Events};

use crate::mix::Mix;

/// Runs a command; what it writes are events.
pub(super) fn run(command: &Command, events: &Events) -> Result<()> {
    run_in(None, command, events)
}

/// Runs a command as [`run`] does; it may be one of this mix.
pub(super) fn run_in(mix: Option<&Mix>, command: &Command, events: &Events) -> Result<()> {
    let run = || match mix {
        Some(mix) => mix.run(command, emit(events)),
        None => command.run(emit(events)),
    };
    match follow(command, run, events) {
        Ok(()) => Ok(()),
        Err(error @ CommandError::Failed { .. }) if is_forbidden(command) => Err(error).context(
            "this user may not run a command that needs root's rights: allow it in /etc/sudoers.d, as the README says",
        ),
        Err(error) => Err(error.into()),
    }
}

/// Whether it is sudo that doesn't run the command: asked, as a command's own failure looks the same.
fn is_forbidden(command: &Command) -> bool {
    let Some(own) = command.args.get(1..).filter(|_| command.program == "sudo") else { return false };
    let ask = Command::new("sudo", ["-n", "-l"].into_iter().chain(own.iter().map(String::as_str)), &command.dir);
    !ask.stream(|_| {}).is_ok_and(|status| status.success())
}

/// Says which command runs, and how it ended.
pub(super) fn follow(
    command: &Command,
    run: impl FnOnce() -> Result<(), CommandError>,
    events: &Events,
) -> Result<(), CommandError> {
    events.emit(Event::Command { line: command.to_string(), quiet: command.quiet });
    let begun = Instant::now();
    let result = run();
    let status = match &result {
        Ok(()) => "exited with status 0".to_owned(),
        Err(CommandError::Failed { status, .. }) => describe(*status),
        Err(error) => format!("was not started: {error}"),
    };
    events.emit(Event::CommandEnded { status, ok: result.is_ok(), seconds: begun.elapsed().as_secs_f64() });
    result
}

/// Makes events of what a program writes.
pub(super) fn emit(events: &Events) -> impl FnMut(Lines) {
    |lines| events.emit(Event::Output { text: lines.text, open: lines.open })
}
