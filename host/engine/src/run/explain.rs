//! `gatling upgrade --explain`: builds the release, and says how the running one could be upgraded to it in place.

use anyhow::Result;
use gatling_pipeline::{Action, Facts, build, explain_in_place, renew_service, write_in_place_program};

use crate::perform::Performer;
use crate::perform::in_place;

/// Builds the release of these facts, and reports how the running one could be upgraded to it. Nothing that serves is changed,
/// and no hook is called.
///
/// # Errors
/// If it cannot be built.
pub(super) fn explain(facts: &Facts, performer: Performer<'_>) -> Result<()> {
    build(facts)?.iter().try_for_each(|action| performer.perform(action))?;
    if facts.otherwise.is_none() {
        return say(facts, &facts.strategy_reason, performer);
    }
    let mut prepare = renew_service(facts)?;
    prepare.push(write_in_place_program(&facts.paths));
    prepare.iter().try_for_each(|action| performer.perform(action))?;
    let command = explain_in_place(&facts.paths, &facts.built_release_path);
    let Err(error) = performer.perform(&Action::Run(command.clone())) else { return Ok(()) };
    match in_place::obstacle(&command, &error) {
        Some(obstacle) => say(facts, &obstacle, performer),
        None => Err(error),
    }
}

fn say(facts: &Facts, obstacle: &str, performer: Performer<'_>) -> Result<()> {
    performer.events.note(format!("{} cannot be upgraded in place: {obstacle}", facts.project));
    Ok(())
}
