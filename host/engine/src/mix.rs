//! Calls mix for a project and asks it for facts.

mod facts;
mod session;

use std::process::ExitStatus;

use anyhow::{Result, bail};

use crate::toolchain::{self, RequiredVersions};
use facts::FactsParser;
use gatling_pipeline::facts::mix::{MixCall, MixFacts, Versions};
use gatling_process::{Command, CommandError, LastLines, Lines, describe};
use session::Sessions;

/// The name of the mix task that prints facts.
const FACTS: &str = "gatling.facts";
/// The code of that task.
const FACTS_CODE: &str = include_str!("mix/facts.exs");

/// mix, for a project.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    /// How it is called.
    pub(crate) call: MixCall,
    /// The process that runs several mix tasks. Clones share it.
    sessions: Sessions,
}

impl Mix {
    /// mix, called in this way. With `in_session`, one process runs several tasks, if that is possible.
    pub(crate) fn new(call: MixCall, in_session: bool) -> Self {
        Self { call, sessions: Sessions::new(in_session) }
    }

    /// Asks mix about the project.
    ///
    /// # Errors
    /// If there is no Elixir or no mix.exs, or mix cannot load the project: the error contains mix's output. Also if
    /// mix.exs has several releases and no default.
    pub(crate) fn ask(&self) -> Result<MixFacts> {
        if !self.call.dir.join("mix.exs").is_file() {
            bail!("there is no mix.exs in {}: push the root of an Elixir project", self.call.dir.display());
        }
        let mut parser = FactsParser::default();
        // A running session does not have the task.
        self.sessions.end();
        let status = match self.print_facts(|lines| lines.text.split('\n').for_each(|line| parser.parse(line))) {
            Err(CommandError::NotFound { .. }) => bail!(
                "Elixir is not installed on this server: install it with `apt-get install elixir`, or, if it is \
                 installed elsewhere, add the folder of its programs to `path` in the operator's file"
            ),
            status => status?,
        };
        if parser.is_complete {
            return parser.finish();
        }
        let said: String = parser.other.iter().map(|line| format!("\n    {line}")).collect();
        let versions @ Versions { elixir, otp_release, .. } = parser.versions();
        if !elixir.is_empty() {
            // If Elixir is too old for the project, that error is clearer than mix's own.
            toolchain::check(
                &RequiredVersions::read(&self.call.dir, None)?,
                versions,
                &toolchain::managers_of_current_user(),
            )?;
        }
        let with = match elixir.as_str() {
            "" => String::new(),
            _ => format!(" with Elixir {elixir} on Erlang/OTP {otp_release}"),
        };
        bail!("mix cannot load the project's mix.exs and config{with}: it {}. Its output:{said}", describe(status))
    }

    /// Runs the task that prints facts.
    fn print_facts(&self, mut take: impl FnMut(Lines)) -> Result<ExitStatus, CommandError> {
        let elixir = self.call.program("elixir", ["-e", FACTS_CODE]);
        let outcome = self.sessions.run(&elixir, &[FACTS.to_owned()], &mut take)?;
        if let Some(outcome) = outcome {
            return Ok(outcome.status());
        }
        // mix.exs sees the same command line as without Gatling.
        let main = format!("System.argv([]); Mix.start(); Mix.CLI.main([{FACTS:?}])");
        self.call.program("elixir", ["-e", FACTS_CODE, "-e", &main]).stream(take)
    }

    /// Runs a command: a mix task in the session, if there is one, anything else in its own process.
    ///
    /// # Errors
    /// If it cannot be started, or fails.
    pub(crate) fn run(&self, command: &Command, mut take: impl FnMut(Lines)) -> Result<(), CommandError> {
        if !self.is_mix_task(command) {
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

    /// Makes the next task start in a new process, because files that mix has already read may have changed.
    pub(crate) fn start_afresh(&self) {
        self.sessions.end();
    }

    /// Whether a command is a mix task in the build dir, as [`MixCall::command`] makes them.
    fn is_mix_task(&self, command: &Command) -> bool {
        *command == Command { args: command.args.clone(), ..self.call.command([]) }
    }
}
