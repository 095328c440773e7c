//! Upgrades a running release in place, or in another way if that is impossible.

use anyhow::Result;
use gatling_pipeline::Action;
use gatling_pipeline::action::InPlace;
use gatling_process::{Command, CommandError};
use gatling_runs::Event;

use super::{Performer, change};

pub(super) fn perform(in_place: &InPlace, performer: Performer<'_>) -> Result<()> {
    let perform_all = |actions: &[Action]| actions.iter().try_for_each(|action| performer.perform(action));
    let why = |error: &anyhow::Error| {
        let commands = in_place.change.actions.iter().filter_map(|action| match action {
            Action::Run(command) => Some(command),
            _ => None,
        });
        commands.filter_map(|command| obstacle(command, error)).next()
    };
    let result = change::perform_unless(&in_place.change, performer, |error| why(error).is_some());
    let Err(error) = result else { return perform_all(&in_place.then) };
    let Some(why) = why(&error) else { return Err(error) };
    performer.events.warn(format!(
        "the app cannot be upgraded in place, so the strategy is {} this time: {why}",
        in_place.strategy
    ));
    if let Some(gathered) = performer.gathered {
        gathered.has_fallen_back.set(true);
        let (strategy, release) = (in_place.strategy.to_owned(), gathered.done().release());
        performer.events.emit(Event::FellBack { strategy, release, why });
    }
    perform_all(&in_place.otherwise)
}

/// Why the running release cannot be upgraded in place, if this command of the init script has failed because of that.
pub(crate) fn obstacle(command: &Command, error: &anyhow::Error) -> Option<String> {
    let CommandError::Failed { command: failed, status, last_lines, .. } = error.downcast_ref()? else { return None };
    let is_obstacle = *failed == command.to_string() && status.code() == Some(InPlace::IMPOSSIBLE);
    let last = last_lines.last().filter(|_| is_obstacle)?;
    Some(last.split_once("cannot: ").map_or(last.as_str(), |(_, why)| why).to_owned())
}
