//! How mix is called for a project, and what it says about it, asked in one start.

use std::collections::VecDeque;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::command::{Command, CommandError, Started, describe};

/// The variable that names the file descriptor on which mix is told that its turn has come.
const TURN: &str = "GATLING_TURN";
/// A task of mix that tells facts.
const TASK: &str = include_str!("mix_facts.exs");

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

/// What stands in a project's mix.exs, and the tasks that mix has in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MixFacts {
    /// `:app`.
    pub app: String,
    /// `:version`.
    pub version: String,
    /// The release that `mix release` builds when it is given no name.
    pub release: String,
    /// The folder that it is built in.
    pub release_path: PathBuf,
    /// The names of the direct dependencies.
    pub dependencies: Vec<String>,
    /// The names of tasks and aliases, sorted.
    pub tasks: Vec<String>,
    /// The names of aliases.
    pub aliases: Vec<String>,
}

impl Mix {
    /// A call of mix.
    #[must_use]
    pub fn command<const N: usize>(&self, args: [&str; N]) -> Command {
        self.call("mix", args)
    }

    /// The call of mix that fetches the dependencies.
    #[must_use]
    pub fn fetch(&self) -> Command {
        self.command(["deps.get", "--only", &self.env])
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
        let mut telling = Telling::default();
        if let Some(status) = started.stream_while(|line| telling.listen(line))? {
            let said: String = telling.other.iter().map(|line| format!("\n    {line}")).collect();
            bail!("mix cannot load the project, from its mix.exs and config: it {}, and says:{said}", describe(status));
        }
        Ok((telling.end()?, started))
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

/// How many of the last lines that aren't facts are kept.
const KEPT_LINES: usize = 20;

/// Facts as they are told.
#[derive(Default)]
struct Telling {
    facts: MixFacts,
    releases: Vec<String>,
    /// The last of what else is said.
    other: VecDeque<String>,
}

impl Telling {
    /// Takes a line, and says whether there will be more.
    fn listen(&mut self, line: &str) -> bool {
        let Some((key, value)) = line.strip_prefix("gatling-fact ").and_then(|fact| fact.split_once(' ')) else {
            if self.other.len() == KEPT_LINES {
                self.other.pop_front();
            }
            if !line.is_empty() {
                self.other.push_back(line.to_owned());
            }
            return true;
        };
        let value = value.to_owned();
        let facts = &mut self.facts;
        match key {
            "app" => facts.app = value,
            "version" => facts.version = value,
            "release" => facts.release = value,
            "release_path" => facts.release_path = PathBuf::from(value),
            "releases" => self.releases.push(value),
            "dependency" => facts.dependencies.push(value),
            "task" => facts.tasks.push(value),
            "alias" => {
                facts.tasks.push(value.clone());
                facts.aliases.push(value);
            }
            "end" => return false,
            _ => {}
        }
        true
    }

    fn end(self) -> Result<MixFacts> {
        let Self { mut facts, releases, .. } = self;
        facts.tasks.sort();
        facts.tasks.dedup();
        if facts.app.is_empty() {
            bail!(
                "mix.exs defines no project with an :app: write `def project, do: [app: :my_app, version: \"0.1.0\"]` into it"
            );
        }
        if facts.release.is_empty() {
            bail!(
                "mix.exs has several releases ({}): say which is to be deployed with `default_release: :NAME`",
                releases.join(", ")
            );
        }
        Ok(facts)
    }
}

impl MixFacts {
    /// Whether mix has a task or alias of that name.
    #[must_use]
    pub fn has_task(&self, name: &str) -> bool {
        self.tasks.binary_search_by(|task| task.as_str().cmp(name)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "warning: something\ngatling-fact app hello\ngatling-fact version 0.1.0\n\
        gatling-fact release hello\ngatling-fact release_path /b/rel/hello\ngatling-fact task release\n\
        gatling-fact task assets.deploy\nhello from mix.exs\ngatling-fact end \n";

    fn told(output: &str) -> Result<MixFacts> {
        let mut telling = Telling::default();
        let rest = output.lines().skip_while(|line| telling.listen(line));
        assert_eq!(rest.count(), 1, "what comes after the end is none of its own");
        telling.end()
    }

    #[test]
    fn facts_are_found_among_whatever_else_is_printed() {
        let facts = told(OUTPUT).expect("it is understood");
        assert_eq!((facts.app.as_str(), facts.version.as_str()), ("hello", "0.1.0"));
        assert!(facts.has_task("assets.deploy") && facts.has_task("release") && !facts.has_task("phx.digest"));
    }

    #[test]
    fn several_releases_without_a_default_are_an_error_that_names_them() {
        let releases = "release \ngatling-fact releases a\ngatling-fact releases b";
        let error = told(&OUTPUT.replace("release hello", releases)).expect_err("there is no telling").to_string();
        assert!(error.contains("a, b") && error.contains("default_release"), "{error}");
    }
}
