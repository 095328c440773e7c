//! Upgrades a running release in place, or in another way if that is impossible.

use anyhow::Result;
use gatling_pipeline::Action;
use gatling_pipeline::action::InPlace;
use gatling_process::{Command, CommandError};
use gatling_runs::Event;

use super::{Performer, change};

pub(super) fn perform(in_place: &InPlace, performer: Performer<'_>) -> Result<()> {
    let perform_all = |actions: &[Action]| actions.iter().try_for_each(|action| performer.perform(action));
    let Err(error) = change::perform(&in_place.change, performer) else { return perform_all(&in_place.then) };
    let why = match in_place.change.actions.first() {
        Some(Action::Run(first)) => obstacle(first, &error),
        _ => None,
    };
    let events = performer.events;
    let Some(why) = why else {
        // If the command itself was killed, it is not known what it has done.
        if let Some(CommandError::Failed { status, .. }) = error.downcast_ref()
            && status.code().is_none()
        {
            let undone = in_place.change.undo.iter().try_for_each(|command| performer.run(command));
            events.emit(Event::Undone { change: in_place.change.change, ok: undone.is_ok() });
        }
        return Err(error);
    };
    events.emit(Event::Undone { change: in_place.change.change, ok: true });
    events.warn(format!(
        "the app cannot be upgraded in place, so the strategy is {} this time: {why}",
        in_place.strategy
    ));
    perform_all(&in_place.otherwise)
}

/// Why the running release cannot be upgraded in place, if this command of the init script has failed because of that.
pub(crate) fn obstacle(command: &Command, error: &anyhow::Error) -> Option<String> {
    let CommandError::Failed { command: failed, status, last_lines, .. } = error.downcast_ref()? else { return None };
    let is_obstacle = *failed == command.to_string() && status.code() == Some(InPlace::IMPOSSIBLE);
    let last = last_lines.last().filter(|_| is_obstacle)?;
    Some(last.split_once("cannot: ").map_or(last.as_str(), |(_, why)| why).to_owned())
}
