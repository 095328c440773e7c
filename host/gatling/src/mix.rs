//! How mix is called for a project, and what it says about it.

mod facts;
mod session;

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;

use anyhow::{Result, bail};

use crate::toolchain::{self, Asked, Versions};
use facts::FactsParser;
pub use facts::{Child, Endpoint, Listening, MixFacts, RuntimeConfig};
use gatling_process::{Command, CommandError, LastLines, Lines, Variables, describe};
use session::Sessions;

/// The name of the task that tells facts.
const FACTS: &str = "gatling.facts";
/// A task of mix that tells facts.
const FACTS_CODE: &str = include_str!("mix/facts.exs");

/// How mix is called for a project.
#[derive(Clone, Debug, Default)]
pub struct Mix {
    /// The build dir.
    pub dir: PathBuf,
    /// `MIX_ENV`.
    pub env: String,
    /// The variables that mix gets: the project's `.env`, `MIX_ENV` and `PORT`.
    pub variables: Variables,
    /// Where one process runs several tasks of mix. Clones share it.
    sessions: Sessions,
}

impl Mix {
    /// mix in a build dir, with `MIX_ENV` and all variables that it gets. With `in_session`, one
    /// process runs several tasks, where that can be had.
    #[must_use]
    pub fn new(dir: PathBuf, env: String, variables: Variables, in_session: bool) -> Self {
        Self { dir, env, variables, sessions: Sessions::new(in_session) }
    }

    /// A call of mix.
    #[must_use]
    pub fn command<const N: usize>(&self, args: [&str; N]) -> Command {
        self.call("mix", args)
    }

    /// A call of mix in a folder of the build dir: that of an umbrella's app.
    #[must_use]
    pub fn command_in<const N: usize>(&self, folder: Option<&str>, args: [&str; N]) -> Command {
        match folder {
            Some(folder) => self.command(args).in_folder(folder),
            None => self.command(args),
        }
    }

    /// The call of mix that fetches the dependencies.
    #[must_use]
    pub fn fetch(&self) -> Command {
        // In an umbrella, mix 1.14 asks for what it was told to leave out, and fails.
        let is_umbrella = fs::read_to_string(self.dir.join("mix.exs")).is_ok_and(|text| text.contains("apps_path:"));
        if is_umbrella { self.command(["deps.get"]) } else { self.command(["deps.get", "--only", &self.env]) }
    }

    /// Asks mix about the project.
    ///
    /// # Errors
    /// When there is no Elixir or no mix.exs, or mix can't load the project: the error holds what
    /// mix says. Also when mix.exs has several releases and names no default.
    pub fn ask(&self) -> Result<MixFacts> {
        if !self.dir.join("mix.exs").is_file() {
            bail!("there is no mix.exs in {}: push the root of an Elixir project", self.dir.display());
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
            toolchain::check(&Asked::read(&self.dir, None)?, versions, &toolchain::of_user())?;
        }
        let with = match elixir.as_str() {
            "" => String::new(),
            _ => format!(" with Elixir {elixir} on Erlang/OTP {otp_release}"),
        };
        bail!("mix cannot load the project's mix.exs and config{with}: it {}, and says:{said}", describe(status))
    }

    /// Runs the task that tells facts.
    fn tell_facts(&self, mut take: impl FnMut(Lines)) -> Result<ExitStatus, CommandError> {
        let elixir = self.call("elixir", ["-e", FACTS_CODE]);
        let outcome = self.sessions.run(&elixir, &[FACTS.to_owned()], &mut take)?;
        if let Some(outcome) = outcome {
            return Ok(outcome.status());
        }
        // What mix.exs sees of the command line is what it would see without Gatling.
        let main = format!("System.argv([]); Mix.start(); Mix.CLI.main([{FACTS:?}])");
        self.call("elixir", ["-e", FACTS_CODE, "-e", &main]).stream(take)
    }

    /// Runs a command: a task of mix in the session, if there is one, and everything else by itself.
    ///
    /// # Errors
    /// When it can't be started, or fails.
    pub fn run(&self, command: &Command, mut take: impl FnMut(Lines)) -> Result<(), CommandError> {
        if !self.is_plain(command) {
            return command.run(take);
        }
        let mut last_lines = LastLines::default();
        let outcome = self.sessions.run(&self.call("elixir", []), &command.args, &mut |lines| {
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
    pub fn start_afresh(&self) {
        self.sessions.end();
    }

    /// Whether a command is a task of mix in the build dir, as [`Mix::command`] makes them.
    fn is_plain(&self, command: &Command) -> bool {
        *command == Command { args: command.args.clone(), ..self.command([]) }
    }

    fn call<const N: usize>(&self, program: &str, args: [&str; N]) -> Command {
        let variables = self.variables.iter();
        Command::new(program, args, &self.dir).with_env(variables)
    }
}
