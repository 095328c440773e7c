//! `gatling guard`: starts the worker of a run, and ends what it leaves. `gatling` itself calls it.

use std::env;

use anyhow::Result;
use gatling_engine::run::guard;
use gatling_pipeline::Pipeline;

use super::{loaded_for, worker};

pub(super) fn main(args: &worker::Args) -> Result<u8> {
    let paths = loaded_for(&args.project, args.goal.is(Pipeline::Unload))?;
    let worker: Vec<_> = ["worker".to_owned()].into_iter().chain(env::args().skip(2)).collect();
    guard::guard(&paths, &args.run, &worker)
}
