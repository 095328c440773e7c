//! The host that native code calls: the fake one of this thread, or none.

use std::time::SystemTime;

use super::{CURRENT, Program, State, real};
use crate::deployment::{Failure, Phase};
use crate::{Bash, Level, Output, ProcessError, VariableError};

/// Looks at the state in effect on this thread, or at that of a host nobody set up.
fn with<T>(look: impl FnOnce(&mut State) -> T) -> T {
    let current = CURRENT.with_borrow(Clone::clone);
    match current {
        Some(state) => look(&mut state.borrow_mut()),
        None => look(&mut State::default()),
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
        "nothing says how `{program}` answers here: in the test, make a \
         `FakeHost::new().answer(\"{program}\", 0, \"its output\")`, or `.grant(\"{program}\")` to \
         really run it"
    )
}

pub(crate) fn variable(name: &str) -> Result<String, VariableError> {
    with(|state| state.variables.get(name).cloned()).ok_or_else(|| {
        VariableError::Denied(format!(
            "nothing says what `{name}` is here: in the test, make a `FakeHost::new().variable(\"{name}\", \"its value\")`"
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
