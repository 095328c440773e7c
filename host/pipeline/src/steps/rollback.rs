//! The steps of a rollback.

use anyhow::{Context as _, Result};
use gatling_runs::Change;

use super::service::TakeOver;
use crate::action::{Action, ReleaseCopy};
use crate::facts::Facts;
use crate::facts::rollback::RollbackFacts;

fn rollback(facts: &Facts) -> Result<&RollbackFacts> {
    facts.rollback.as_ref().context("this is not a rollback")
}

pub(crate) fn copy(facts: &Facts) -> Result<Vec<Action>> {
    let rollback = rollback(facts)?;
    if !rollback.needs_copy() {
        return Ok(vec![Action::skip(format!("{} can run where it ran before", rollback.target))]);
    }
    Ok(vec![Action::CopyRelease(Box::new(ReleaseCopy {
        paths: facts.paths.clone(),
        from: rollback.target.clone(),
        to: rollback.release.clone(),
        place: rollback.place.clone(),
    }))])
}

pub(crate) fn switch(facts: &Facts) -> Result<Vec<Action>> {
    let rollback = rollback(facts)?;
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
        has_systemd: facts.server.has_systemd,
    };
    let mut actions = take_over.actions();
    let why = format!("rolled back to {release}");
    actions.push(Action::Mark { paths: facts.paths.clone(), release: current.clone(), why });
    Ok(actions)
}

pub(crate) fn undo_migrations(facts: &Facts) -> Result<Vec<Action>> {
    let rollback = rollback(facts)?;
    let Some(undo) = &rollback.undo else {
        return Ok(vec![Action::skip("no migrations are to be undone")]);
    };
    let to = format!("what {} knows", rollback.release);
    Ok(vec![Action::change(Change::Database, to, vec![Action::run(undo.clone())], Vec::new())])
}
