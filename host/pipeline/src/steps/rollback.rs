//! The steps of a rollback.

use anyhow::{Context as _, Result};
use gatling_runs::Change;

use super::takeover::{TakeOver, take_over_in_place};
use crate::action::{Action, ReleaseCopy};
use crate::facts::Facts;
use crate::facts::rollback::RollbackFacts;

fn rollback(facts: &Facts) -> Result<&RollbackFacts> {
    facts.rollback.as_ref().context("this is not a rollback")
}

pub(crate) fn copy(facts: &Facts) -> Result<Vec<Action>> {
    let rollback = rollback(facts)?;
    let Some(copy) = copy_for(facts, rollback) else {
        return Ok(vec![Action::skip(format!("{} can run where it ran before", rollback.target))]);
    };
    Ok(vec![copy])
}

/// Copies the older release, if it cannot run in its place as it is.
fn copy_for(facts: &Facts, rollback: &RollbackFacts) -> Option<Action> {
    let copy = ReleaseCopy {
        paths: facts.paths.clone(),
        from: rollback.target.clone(),
        to: rollback.release.clone(),
        place: rollback.place.clone(),
    };
    rollback.needs_copy().then(|| Action::CopyRelease(Box::new(copy)))
}

pub(crate) fn switch(facts: &Facts) -> Result<Vec<Action>> {
    let rollback = rollback(facts)?;
    let RollbackFacts { release, current, otherwise, .. } = rollback;
    let mut actions = match otherwise {
        Some(otherwise) => {
            let mut instead: Vec<_> = copy_for(facts, otherwise).into_iter().collect();
            instead.extend(take_over(facts, otherwise));
            take_over_in_place(facts, release, current, instead, otherwise.strategy().name())
        }
        None => take_over(facts, rollback),
    };
    let why = format!("rolled back to {release}");
    actions.push(Action::Mark { paths: facts.paths.clone(), release: current.clone(), why });
    Ok(actions)
}

/// Starts the older release, which then takes over.
fn take_over(facts: &Facts, rollback: &RollbackFacts) -> Vec<Action> {
    let RollbackFacts { release, current, place, is_beside, .. } = rollback;
    let take_over = TakeOver {
        paths: &facts.paths,
        current,
        release,
        port: place.port,
        is_beside: *is_beside,
        soak: facts.soak,
        names: &facts.server.names,
        sudo: facts.server.sudo,
        must_tell_systemd: facts.server.must_tell_systemd,
    };
    take_over.actions()
}

pub(crate) fn undo_migrations(facts: &Facts) -> Result<Vec<Action>> {
    let rollback = rollback(facts)?;
    let Some(undo) = &rollback.undo else {
        return Ok(vec![Action::skip("no migrations are to be undone")]);
    };
    let to = format!("what {} knows", rollback.release);
    Ok(vec![Action::change(Change::Database, to, vec![Action::run(undo.clone())], Vec::new())])
}
