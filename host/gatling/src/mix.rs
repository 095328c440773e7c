//! How mix is called for a project, and what it says about it, asked in one start.

mod facts;

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::toolchain::{self, Asked, Versions};
use facts::FactsParser;
pub use facts::{Child, Endpoint, Listening, MixFacts, RuntimeConfig};
use gatling_process::{Command, CommandError, Started, describe};

/// The variable that names the file descriptor on which mix is told that its turn has come.
const TURN: &str = "GATLING_TURN";
/// A task of mix that tells facts.
const TASK: &str = include_str!("mix/facts.exs");

/// How mix is called for a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    /// The build dir.
    pub dir: PathBuf,
    /// `MIX_ENV`.
    pub env: String,
    /// The variables that mix gets: the project's `.env`, `MIX_ENV` and `PORT`.
    pub variables: Vec<(String, String)>,
}

impl Mix {
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
        let (facts, mix) = self.ask_before(&[], Command::start_in_group)?;
        mix.stream(|_| {})?;
        Ok(facts)
    }

    /// Asks mix about the project, and keeps it waiting for its turn to fetch the dependencies. It
    /// isn't kept where the project has that mean something else: what mix has loaded by then could
    /// be older than what is fetched.
    ///
    /// # Errors
    /// As [`Mix::ask`].
    pub fn ask_and_wait(&self) -> Result<(MixFacts, Option<Started>)> {
        let fetch = self.fetch();
        let (facts, started) = self.ask_before(&fetch.args, |command| command.start_waiting(TURN))?;
        let means_itself = !facts.aliases.contains(&fetch.args[0]);
        Ok((facts, means_itself.then(|| started.told_as(fetch))))
    }

    /// Asks. With a task, mix will go on with that when it is told to.
    fn ask_before(
        &self,
        task: &[String],
        start: impl FnOnce(&Command) -> Result<Started, CommandError>,
    ) -> Result<(MixFacts, Started)> {
        if !self.dir.join("mix.exs").is_file() {
            bail!("there is no mix.exs in {}: push the root of an Elixir project", self.dir.display());
        }
        let task = task.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
        // What mix.exs sees of the command line is what it would see without Gatling.
        let main = format!("System.argv([{task}]); Mix.start(); Mix.CLI.main([\"gatling.facts\" | System.argv()])");
        let mut started = match start(&self.call("elixir", ["-e", TASK, "-e", &main])) {
            Err(CommandError::NotFound { .. }) => bail!(
                "there is no Elixir on this server: install it with `apt-get install elixir`, or name the folder \
                 of its programs under `path` in the operator's file"
            ),
            started => started?,
        };
        let mut parser = FactsParser::default();
        if let Some(status) = started.stream_while(|lines| lines.text.split('\n').all(|line| parser.take(line)))? {
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
            bail!("mix cannot load the project's mix.exs and config{with}: it {}, and says:{said}", describe(status));
        }
        Ok((parser.end()?, started))
    }

    fn call<const N: usize>(&self, program: &str, args: [&str; N]) -> Command {
        let variables = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Command::new(program, args, &self.dir).with_env(variables)
    }
}

/// A text as Elixir reads it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('#', "\\#"))
}
