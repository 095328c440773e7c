//! The steps of `unload` that remove folders.

use anyhow::Result;

use super::{Action, assets};
use crate::env::Env;
use gatling_runs::Change;

pub(crate) fn deploy_dir(env: &Env) -> Result<Vec<Action>> {
    // Commands run in the deploy dir: it goes last.
    let mut actions: Vec<_> = assets::remove(env).into_iter().collect();
    actions.push(Action::Remove { path: env.deploy_dir.clone() });
    Ok(vec![Action::change(Change::Project, "not deployed", actions, Vec::new())])
}

pub(crate) fn build_dir(env: &Env) -> Result<Vec<Action>> {
    let remove = vec![Action::Remove { path: env.build_dir.clone() }];
    Ok(vec![Action::change(Change::Project, "without a repository", remove, Vec::new())])
}
