//! How mix is called for a project, and what it says about it.

mod facts;
mod session;

use std::process::ExitStatus;

use anyhow::{Result, bail};

use crate::toolchain::{self, Asked};
use facts::FactsParser;
use gatling_pipeline::facts::mix::{MixCall, MixFacts, Versions};
use gatling_process::{Command, CommandError, LastLines, Lines, describe};
use session::Sessions;

/// The name of the task that tells facts.
const FACTS: &str = "gatling.facts";
/// A task of mix that tells facts.
const FACTS_CODE: &str = include_str!("mix/facts.exs");

/// mix, for a project.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    /// How it is called.
    pub(crate) call: MixCall,
    /// Where one process runs several tasks of mix. Clones share it.
    sessions: Sessions,
}

impl Mix {
    /// mix, called in this way. With `in_session`, one process runs several tasks, where that can be had.
    pub(crate) fn new(call: MixCall, in_session: bool) -> Self {
        Self { call, sessions: Sessions::new(in_session) }
    }

    /// Asks mix about the project.
    ///
    /// # Errors
    /// When there is no Elixir or no mix.exs, or mix can't load the project: the error holds what
    /// mix says. Also when mix.exs has several releases and names no default.
    pub(crate) fn ask(&self) -> Result<MixFacts> {
        if !self.call.dir.join("mix.exs").is_file() {
            bail!("there is no mix.exs in {}: push the root of an Elixir project", self.call.dir.display());
        }
        let mut parser = FactsParser::default();
        // One that runs already doesn't have the task.
        self.sessions.end();
        let status = match self.tell_facts(|lines| lines.text.split('\n').for_each(|line| parser.take(line))) {
            Err(CommandError::NotFound { .. }) => bail!(
                "there is no Elixir on this server: install it with `apt-get install elixir`, or name the folder \
                 of its programs under `path` in the operator's file"
            ),
            status => status?,
        };
        if parser.is_complete {
            return parser.end();
        }
        let said: String = parser.other.iter().map(|line| format!("\n    {line}")).collect();
        let versions @ Versions { elixir, otp_release, .. } = parser.versions();
        if !elixir.is_empty() {
            // What an older Elixir can't load says so less clearly.
            toolchain::check(&Asked::read(&self.call.dir, None)?, versions, &toolchain::of_user())?;
        }
        let with = match elixir.as_str() {
            "" => String::new(),
            _ => format!(" with Elixir {elixir} on Erlang/OTP {otp_release}"),
        };
        bail!("mix cannot load the project's mix.exs and config{with}: it {}, and says:{said}", describe(status))
    }

    /// Runs the task that tells facts.
    fn tell_facts(&self, mut take: impl FnMut(Lines)) -> Result<ExitStatus, CommandError> {
        let elixir = self.call.program("elixir", ["-e", FACTS_CODE]);
        let outcome = self.sessions.run(&elixir, &[FACTS.to_owned()], &mut take)?;
        if let Some(outcome) = outcome {
            return Ok(outcome.status());
        }
        // What mix.exs sees of the command line is what it would see without Gatling.
        let main = format!("System.argv([]); Mix.start(); Mix.CLI.main([{FACTS:?}])");
        self.call.program("elixir", ["-e", FACTS_CODE, "-e", &main]).stream(take)
    }

    /// Runs a command: a task of mix in the session, if there is one, and everything else by itself.
    ///
    /// # Errors
    /// When it can't be started, or fails.
    pub(crate) fn run(&self, command: &Command, mut take: impl FnMut(Lines)) -> Result<(), CommandError> {
        if !self.is_plain(command) {
            return command.run(take);
        }
        let mut last_lines = LastLines::default();
        let outcome = self.sessions.run(&self.call.program("elixir", []), &command.args, &mut |lines| {
            last_lines.take(&lines);
            take(lines);
        })?;
        match outcome {
            Some(outcome) => command.result(outcome.status(), last_lines),
            None => command.run(take),
        }
    }

    /// Has the next task read everything anew in a new process: something may have changed what mix
    /// has read.
    pub(crate) fn start_afresh(&self) {
        self.sessions.end();
    }

    /// Whether a command is a task of mix in the build dir, as [`MixCall::command`] makes them.
    fn is_plain(&self, command: &Command) -> bool {
        *command == Command { args: command.args.clone(), ..self.call.command([]) }
    }
}
