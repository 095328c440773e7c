//! The steps of `unload` that remove folders.

use anyhow::Result;

use super::{Action, assets};
use crate::env::Env;

pub(crate) fn deploy_dir(env: &Env) -> Result<Vec<Action>> {
    // Commands run in the deploy dir: it goes last.
    let mut actions: Vec<_> = assets::remove(env).into_iter().collect();
    actions.push(Action::Remove { path: env.deploy_dir.clone() });
    Ok(actions)
}

pub(crate) fn build_dir(env: &Env) -> Result<Vec<Action>> {
    Ok(vec![Action::Remove { path: env.build_dir.clone() }])
}
