//! Runs commands and reports their output as events.

use std::time::Instant;

use anyhow::{Result, bail};
use gatling_process::{Command, CommandError, Lines, describe};
use gatling_runs::{Event, Events};
use gatling_templates as templates;

use crate::facts::Gathered;

/// Runs a command and reports its output as events.
pub(super) fn run(command: &Command, events: &Events) -> Result<()> {
    run_in(None, command, events)
}

/// Like [`run`], but runs a mix task in the session of the mix that reported these facts.
pub(super) fn run_in(gathered: Option<&Gathered>, command: &Command, events: &Events) -> Result<()> {
    let run = || match gathered {
        Some(gathered) => gathered.mix.run(command, emit(events)),
        None => command.run(emit(events)),
    };
    match report(command, run, events) {
        Ok(()) => Ok(()),
        Err(error @ CommandError::Failed { .. }) => {
            check_rights(gathered, command)?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Fails if sudo does not let this user run the command: the error says what to do about it.
pub(super) fn check_rights(gathered: Option<&Gathered>, command: &Command) -> Result<()> {
    if is_refused_by_sudo(command) {
        let rule = gathered.map(|gathered| templates::sudo_rule_command(&gathered.facts.paths));
        let rule = rule.unwrap_or_else(|| "install the rule that `gatling sudoers PROJECT` prints".to_owned());
        bail!("sudo refuses `{command}`. As root: {rule}");
    }
    Ok(())
}

/// Whether sudo refuses to run the command. Asks sudo, because a failure of the command itself looks the same.
fn is_refused_by_sudo(command: &Command) -> bool {
    let Some(own) = command.args.get(1..).filter(|_| command.program == "sudo") else { return false };
    let ask = Command::new("sudo", ["-n", "-l"].into_iter().chain(own.iter().map(String::as_str)), &command.dir);
    !ask.stream(|_| {}).is_ok_and(|status| status.success())
}

/// Runs a command with `run`, and reports its start and its end.
pub(super) fn report(
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

/// Reports the output of a program as events.
pub(super) fn emit(events: &Events) -> impl FnMut(Lines) {
    |lines| events.emit(Event::Output { text: lines.text, open: lines.open })
}
