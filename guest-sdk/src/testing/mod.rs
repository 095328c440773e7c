//! Tests hooks with `cargo test`. A [`FakeHost`] takes the place of Gatling.
//!
//! No program really runs unless a test grants it. A test sets the answers of programs, and checks what the hook ran
//! and logged.
//!
//! ```
//! use gatling_hooks::bash;
//! use gatling_hooks::prelude::*;
//! use gatling_hooks::testing::FakeHost;
//!
//! fn before_mix_digest(env: &Env) -> Result<()> {
//!     info!("building {}", env.version);
//!     bash("npm", ["install"]).cd("assets").run()?;
//!     Ok(())
//! }
//!
//! let host = FakeHost::new().answer("npm", 0, "added 3 packages\n");
//!
//! before_mix_digest(&Env::sample()).unwrap();
//!
//! assert_eq!(host.logged(), ["info: building 0.2.0"]);
//! assert_eq!(host.ran(), [bash("npm", ["install"]).cd("assets")]);
//! ```
//!
//! The hook `on_failure` is tested in the same way, with a [`Failure`](crate::Failure) that the test creates:
//!
//! ```
//! use gatling_hooks::prelude::*;
//! use gatling_hooks::testing::FakeHost;
//!
//! fn on_failure(env: &Env, failure: &Failure) {
//!     info!("{} failed at {}", env.version, failure.place().unwrap_or("the checks"));
//! }
//!
//! let host = FakeHost::new();
//! let failure = Failure { hook: Some("before_mix_digest".into()), ..Failure::sample() };
//!
//! on_failure(&Env::sample(), &failure);
//!
//! assert_eq!(host.logged(), ["info: 0.2.0 failed at before_mix_digest"]);
//! ```

pub(crate) mod host;
mod real;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::SystemTime;

use crate::deployment::{Failure, Phase};
use crate::{Bash, Level, Output, ProcessError};

/// Takes the place of Gatling for hooks that are called on this thread, until it is dropped.
///
/// Without a fake host, logs go to standard error and every program is denied.
#[derive(Debug)]
#[must_use = "it is in effect until it is dropped: keep it in a variable"]
pub struct FakeHost {
    state: Rc<RefCell<State>>,
    /// The state of the previous fake host, which is restored afterwards.
    previous: Option<Rc<RefCell<State>>>,
}

/// The answers and the records of a [`FakeHost`].
#[derive(Debug)]
struct State {
    programs: HashMap<String, Program>,
    variables: HashMap<String, String>,
    ran: Vec<Bash>,
    logged: Vec<(Level, String)>,
    run_id: String,
    step: String,
    phase: Phase,
    attempt: u32,
    started_at: SystemTime,
    failed: Option<Failure>,
}

/// What happens when a hook runs a program.
#[derive(Clone, Debug)]
enum Program {
    Answers(Result<Output, ProcessError>),
    Runs,
}

impl Default for State {
    fn default() -> Self {
        Self {
            programs: HashMap::new(),
            variables: HashMap::new(),
            ran: Vec::new(),
            logged: Vec::new(),
            run_id: "test-run".into(),
            step: "mix_compile".into(),
            phase: Phase::Before,
            attempt: 1,
            started_at: SystemTime::UNIX_EPOCH,
            failed: None,
        }
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<RefCell<State>>>> = const { RefCell::new(None) };
}

impl FakeHost {
    /// A host without programs, for the first attempt to call a hook before `mix_compile`.
    #[expect(clippy::new_without_default, reason = "creating one has a side effect")]
    pub fn new() -> Self {
        let state = Rc::new(RefCell::new(State::default()));
        let previous = CURRENT.replace(Some(Rc::clone(&state)));
        Self { state, previous }
    }

    /// Sets the result of `program`: its exit status and its output. The program doesn't really run.
    pub fn answer(self, program: &str, status: i32, output: &str) -> Self {
        let output = output.into();
        self.program(program, Program::Answers(Ok(Output { status, output })))
    }

    /// Makes running `program` fail with an error, such as for a program that doesn't exist or is not granted.
    ///
    /// ```
    /// use gatling_hooks::testing::FakeHost;
    /// use gatling_hooks::{ProcessError, bash};
    ///
    /// let missing = ProcessError::NotFound("there is no program npm".into());
    /// let _host = FakeHost::new().refuse("npm", missing.clone());
    /// assert_eq!(bash("npm", ["install"]).run(), Err(missing));
    /// ```
    pub fn refuse(self, program: &str, error: ProcessError) -> Self {
        self.program(program, Program::Answers(Err(error)))
    }

    /// Really runs `program` when a hook runs it. The build dir is the working directory of the test.
    pub fn grant(self, program: &str) -> Self {
        self.program(program, Program::Runs)
    }

    /// Grants a variable of the project's `.env`, and sets its value.
    ///
    /// ```
    /// use gatling_hooks::testing::FakeHost;
    /// use gatling_hooks::variable;
    ///
    /// let _host = FakeHost::new().variable("SLACK_TOKEN", "xoxb-1");
    /// assert_eq!(variable("SLACK_TOKEN").unwrap(), "xoxb-1");
    /// assert!(variable("OTHER").is_err());
    /// ```
    pub fn variable(self, name: &str, value: &str) -> Self {
        self.with(|state| {
            state.variables.insert(name.into(), value.into());
        })
    }

    /// Sets the results of [`deployment::phase`](crate::deployment::phase) and
    /// [`deployment::step`](crate::deployment::step).
    pub fn at(self, phase: Phase, step: &str) -> Self {
        self.with(|state| {
            state.phase = phase;
            state.step = step.into();
        })
    }

    /// Sets the result of [`deployment::run_id`](crate::deployment::run_id).
    pub fn run_id(self, id: &str) -> Self {
        self.with(|state| state.run_id = id.into())
    }

    /// Sets the result of [`deployment::attempt`](crate::deployment::attempt).
    pub fn attempt(self, attempt: u32) -> Self {
        self.with(|state| state.attempt = attempt)
    }

    /// Sets the result of [`deployment::started_at`](crate::deployment::started_at), with a precision of milliseconds.
    pub fn started_at(self, time: SystemTime) -> Self {
        self.with(|state| state.started_at = time)
    }

    /// Sets the result of [`deployment::failed`](crate::deployment::failed).
    pub fn failed(self, failure: Failure) -> Self {
        self.with(|state| state.failed = Some(failure))
    }

    /// Every command that hooks have run so far, in order, including those that were refused.
    pub fn ran(&self) -> Vec<Bash> {
        self.state.borrow().ran.clone()
    }

    /// Everything that hooks have logged so far, each message after its level: `info: notified #ops`.
    pub fn logged(&self) -> Vec<String> {
        let state = self.state.borrow();
        let lines = state.logged.iter();
        lines.map(|(level, message)| format!("{level}: {message}")).collect()
    }

    fn program(self, name: &str, program: Program) -> Self {
        self.with(|state| {
            state.programs.insert(name.into(), program);
        })
    }

    fn with(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state.borrow_mut());
        self
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        CURRENT.set(self.previous.take());
    }
}
