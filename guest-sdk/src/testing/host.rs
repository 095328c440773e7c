//! The host in native code: the fake host of this thread, or an empty one.

use std::time::SystemTime;

use super::{CURRENT, Program, State, real};
use crate::deployment::{Failure, Phase};
use crate::{Bash, Level, Output, ProcessError, VariableError};

/// Passes the state of this thread's fake host to `access`, or a default state if there is no fake host.
fn with<T>(access: impl FnOnce(&mut State) -> T) -> T {
    let current = CURRENT.with_borrow(Clone::clone);
    match current {
        Some(state) => access(&mut state.borrow_mut()),
        None => access(&mut State::default()),
    }
}

pub(crate) fn log(level: Level, message: &str) {
    eprintln!("{level}: {message}");
    with(|state| state.logged.push((level, message.into())));
}

pub(crate) fn run(command: &Bash) -> Result<Output, ProcessError> {
    let program = with(|state| {
        state.ran.push(command.clone());
        state.programs.get(&command.program).cloned()
    });
    match program {
        Some(Program::Answers(answer)) => answer,
        Some(Program::Runs) => real::run(command),
        None => Err(ProcessError::Denied(denial(&command.program))),
    }
}

fn denial(program: &str) -> String {
    format!(
        "the test has no answer for the program `{program}`: add \
         `FakeHost::new().answer(\"{program}\", 0, \"its output\")` to the test, or `.grant(\"{program}\")` to \
         really run it"
    )
}

pub(crate) fn variable(name: &str) -> Result<String, VariableError> {
    with(|state| state.variables.get(name).cloned()).ok_or_else(|| {
        VariableError::Denied(format!(
            "the test has no value for the variable `{name}`: add `FakeHost::new().variable(\"{name}\", \"its value\")` \
             to the test"
        ))
    })
}

pub(crate) fn run_id() -> String {
    with(|state| state.run_id.clone())
}

pub(crate) fn step() -> String {
    with(|state| state.step.clone())
}

pub(crate) fn phase() -> Phase {
    with(|state| state.phase)
}

pub(crate) fn attempt() -> u32 {
    with(|state| state.attempt)
}

pub(crate) fn started_at() -> u64 {
    let since = with(|state| state.started_at.duration_since(SystemTime::UNIX_EPOCH));
    since.map_or(0, |since| since.as_millis() as u64)
}

pub(crate) fn failed() -> Option<Failure> {
    with(|state| state.failed.clone())
}
