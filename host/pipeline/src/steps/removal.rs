//! The steps of `unload` that remove folders.

use anyhow::Result;

use super::assets;
use crate::action::Action;
use crate::facts::Facts;
use gatling_runs::Change;

pub(crate) fn deploy_dir(facts: &Facts) -> Result<Vec<Action>> {
    // Other commands run in the deploy dir, so it is removed last.
    let mut actions: Vec<_> = assets::remove(facts).into_iter().collect();
    actions.push(Action::Remove { path: facts.deploy_dir.clone() });
    Ok(vec![Action::change(Change::Project, "not deployed", actions, Vec::new())])
}

pub(crate) fn build_dir(facts: &Facts) -> Result<Vec<Action>> {
    let remove = vec![Action::Remove { path: facts.build_dir.clone() }];
    Ok(vec![Action::change(Change::Project, "without a repository", remove, Vec::new())])
}
