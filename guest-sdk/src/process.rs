//! Running programs on the server.

use std::error;
use std::fmt;

use crate::host;

/// A command to run on the server, with [`run`](Bash::run) or [`output`](Bash::output).
///
/// `program` is searched on the `PATH`, or is a path. In spite of the name, no shell is involved: `args` are passed
/// to the program unchanged. The project's `gatling.toml` must grant the program:
///
/// ```toml
/// [hooks.grants]
/// run = ["npm"]
/// ```
///
/// ```
/// # use gatling_hooks::prelude::*;
/// fn build_assets(env: &Env) -> Result<()> {
///     bash("npm", ["run", "deploy"])
///         .cd("assets")
///         .env("APP_VERSION", &env.version)
///         .run()?;
///     Ok(())
/// }
/// ```
pub fn bash<const N: usize>(program: impl Into<String>, args: [&str; N]) -> Bash {
    Bash { program: program.into(), args: args.map(String::from).to_vec(), cd: None, env: Vec::new() }
}

/// A command to run. Create it with [`bash`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing runs until `.run()` or `.output()`"]
pub struct Bash {
    /// The name of a program on the `PATH`, or a path.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The folder it runs in; `None` is the build dir.
    pub cd: Option<String>,
    /// Its variables, in addition to `PATH`, `HOME` and `LANG`.
    pub env: Vec<(String, String)>,
}

impl Bash {
    /// Adds one argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Runs it in this folder: an absolute path, or one relative to the build dir.
    pub fn cd(mut self, folder: impl Into<String>) -> Self {
        self.cd = Some(folder.into());
        self
    }

    /// Sets a variable for it.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs it. A status other than 0 is an error.
    pub fn run(&self) -> Result<Output, ProcessError> {
        let output = self.output()?;
        if output.status == 0 { Ok(output) } else { Err(ProcessError::Status { command: self.to_string(), output }) }
    }

    /// Runs it. The caller decides what its status means.
    ///
    /// ```
    /// # use gatling_hooks::prelude::*;
    /// fn has_changed(file: &str) -> Result<bool> {
    ///     let diff = bash("git", ["diff", "--quiet", "HEAD", "--", file]).output()?;
    ///     Ok(diff.status != 0)
    /// }
    /// ```
    pub fn output(&self) -> Result<Output, ProcessError> {
        host::run(self)
    }
}

/// The command line, quoted as for a shell.
impl fmt::Display for Bash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_word(f, &self.program)?;
        for arg in &self.args {
            f.write_str(" ")?;
            write_word(f, arg)?;
        }
        Ok(())
    }
}

fn write_word(f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        f.write_str(word)
    } else {
        write!(f, "'{}'", word.replace('\'', r"'\''"))
    }
}

/// The result of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 128 plus the signal's number if a signal killed it.
    pub status: i32,
    /// Its standard output and standard error, in the order in which they were written.
    pub output: String,
}

impl Output {
    /// The last `count` lines that are not empty.
    fn last_lines(&self, count: usize) -> Vec<&str> {
        let lines = self.output.lines().filter(|line| !line.trim().is_empty());
        let mut last: Vec<_> = lines.rev().take(count).collect();
        last.reverse();
        last
    }
}

/// How many lines of its output the error of a failed program shows.
const LINES_SHOWN: usize = 5;

/// Why a program could not be run, or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessError {
    /// No grant allows it. The message names the line to add to `gatling.toml`.
    Denied(String),
    /// The program, or the folder to run it in, does not exist.
    NotFound(String),
    /// It exceeded the time limit of the hook, and was killed.
    TimedOut(String),
    /// It could not be started for another reason.
    Failed(String),
    /// It ended with a status other than 0. Only [`Bash::run`] returns this error.
    Status {
        /// The command line.
        command: String,
        /// Its status and output.
        output: Output,
    },
}

impl error::Error for ProcessError {}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (command, output) = match self {
            Self::Denied(message) | Self::NotFound(message) | Self::TimedOut(message) | Self::Failed(message) => {
                return f.write_str(message);
            }
            Self::Status { command, output } => (command, output),
        };
        write!(f, "`{command}` ended with status {}", output.status)?;
        match output.last_lines(LINES_SHOWN).as_slice() {
            [] => f.write_str(" without any output"),
            [line] => write!(f, ": {line}"),
            lines => {
                f.write_str("; its last lines:")?;
                lines.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeHost;

    fn failure(output: &str) -> String {
        let _host = FakeHost::new().answer("npm", 1, output);
        bash("npm", ["install"]).run().unwrap_err().to_string()
    }

    #[test]
    fn the_error_of_a_failed_program_has_its_status_and_last_line() {
        assert_eq!(failure("no package.json\n\n"), "`npm install` ended with status 1: no package.json");
    }

    #[test]
    fn the_error_of_a_failed_program_shows_only_the_last_lines() {
        assert_eq!(
            failure("1\n2\n3\n4\n5\n6\n7\n"),
            "`npm install` ended with status 1; its last lines:\n  3\n  4\n  5\n  6\n  7"
        );
    }

    #[test]
    fn the_error_says_if_a_failed_program_had_no_output() {
        assert_eq!(failure(" \n"), "`npm install` ended with status 1 without any output");
    }

    #[test]
    fn output_returns_a_status_other_than_0_as_no_error() {
        let _host = FakeHost::new().answer("diff", 1, "");
        assert_eq!(bash("diff", []).output().unwrap().status, 1);
    }

    #[test]
    fn a_command_is_displayed_with_shell_quoting() {
        let command = bash("sh", ["-c", "echo it's here", ""]);
        assert_eq!(command.to_string(), r"sh -c 'echo it'\''s here' ''");
    }

    #[test]
    fn arguments_can_be_added_one_by_one_or_several_at_once() {
        let files = vec![String::from("a"), String::from("b")];
        let command = bash("tar", ["-c"]).args(files).arg("c");
        assert_eq!(command.to_string(), "tar -c a b c");
    }
}
