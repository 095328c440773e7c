//! The steps of `unload` that remove folders.

use anyhow::Result;

use super::{Action, assets};
use crate::env::Env;

pub(crate) fn deploy_dir(env: &Env) -> Result<Vec<Action>> {
    let mut actions = vec![Action::Remove { path: env.deploy_dir.clone() }];
    actions.extend(assets::remove(env));
    Ok(actions)
}

pub(crate) fn build_dir(env: &Env) -> Result<Vec<Action>> {
    Ok(vec![Action::Remove { path: env.build_dir.clone() }])
}
