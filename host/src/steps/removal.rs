//! The steps of `unload` that remove folders.

use anyhow::Result;

use super::Action;
use crate::env::Env;

pub(crate) fn deploy_dir(env: &Env) -> Result<Vec<Action>> {
    Ok(vec![Action::Remove { path: env.deploy_dir.clone() }])
}

pub(crate) fn build_dir(env: &Env) -> Result<Vec<Action>> {
    Ok(vec![Action::Remove { path: env.build_dir.clone() }])
}
