//! The host in a component: calls the contract's imports, and converts to this crate's types.

#[allow(missing_docs, unreachable_pub)]
mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "gatling:hooks/imports",
        with: {
            "gatling:hooks/types@1.2.0": crate::env::types,
            "gatling:hooks/failures@1.2.0": crate::env::failures,
        },
        generate_all,
    });
}

use bindings::gatling::hooks::{deployment, log as logging, process, variables};

use crate::deployment::{Failure, Phase};
use crate::{Bash, Level, Output, ProcessError, VariableError};

pub(crate) use deployment::{attempt, run_id, started_at, step};

pub(crate) fn log(level: Level, message: &str) {
    let level = match level {
        Level::Debug => logging::Level::Debug,
        Level::Info => logging::Level::Info,
        Level::Warn => logging::Level::Warn,
        Level::Error => logging::Level::Error,
    };
    logging::log(level, message);
}

pub(crate) fn run(command: &Bash) -> Result<Output, ProcessError> {
    let options = process::Options { cd: command.cd.clone(), env: command.env.clone() };
    match process::run(&command.program, &command.args, &options) {
        Ok(process::Output { status, output }) => Ok(Output { status, output }),
        Err(process::Error::Denied(message)) => Err(ProcessError::Denied(message)),
        Err(process::Error::NotFound(message)) => Err(ProcessError::NotFound(message)),
        Err(process::Error::TimedOut(message)) => Err(ProcessError::TimedOut(message)),
        Err(process::Error::Failed(message)) => Err(ProcessError::Failed(message)),
    }
}

pub(crate) fn variable(name: &str) -> Result<String, VariableError> {
    variables::get(name).map_err(|error| match error {
        variables::Error::Denied(message) => VariableError::Denied(message),
        variables::Error::NotSet(message) => VariableError::NotSet(message),
    })
}

pub(crate) fn phase() -> Phase {
    match deployment::phase() {
        deployment::HookPhase::Before => Phase::Before,
        deployment::HookPhase::After => Phase::After,
    }
}

pub(crate) fn failed() -> Option<Failure> {
    let deployment::Failure { step, hook, message } = deployment::failed()?;
    Some(Failure { step, hook, message })
}
