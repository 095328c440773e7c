//! Commands as values, and the only code that runs them.

mod lines;
mod started;
mod tree;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::{env, io};

use serde::{Deserialize, Serialize};

use crate::{Variables, shell};
use lines::LineReader;
pub use lines::Lines;
pub use started::{LastLines, Started};
pub use tree::{adopt_orphans, descendants, kill_descendants, kill_tree};

/// A command: a program with its arguments, folder and variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program: a name to look up on the `PATH`, or a path.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The folder to run it in.
    pub dir: PathBuf,
    /// Variables in addition to those of [`Command::environment`].
    #[serde(skip)]
    pub env: Variables,
    /// The variables that it inherits.
    #[serde(default, skip_serializing_if = "Environment::is_inherited")]
    pub environment: Environment,
    /// Whether it keeps running if Gatling is killed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outlives_gatling: bool,
    /// Whether its command line is only shown for debugging.
    #[serde(skip)]
    pub quiet: bool,
    /// A text to display instead of its command line.
    #[serde(skip)]
    pub label: Option<String>,
}

/// The variables that a command inherits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// All of Gatling's own variables.
    #[default]
    Inherited,
    /// Only these of Gatling's own variables.
    Only(Vec<String>),
}

impl Environment {
    /// Only these of Gatling's own variables.
    pub fn only<const N: usize>(names: [&str; N]) -> Self {
        Self::Only(names.map(str::to_owned).into())
    }

    fn is_inherited(&self) -> bool {
        *self == Self::Inherited
    }
}

/// A longer command line, in bytes, is truncated for display.
const MAX_DISPLAYED: usize = 4096;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such program.
    #[error("there is no program {program} on the PATH{}", install_hint(program))]
    NotFound {
        /// The program that was looked for.
        program: String,
    },
    /// The folder to run it in doesn't exist.
    #[error("cannot run `{command}` in {}: the folder does not exist", dir.display())]
    NoDir {
        /// The command line.
        command: String,
        /// The folder.
        dir: PathBuf,
    },
    /// It couldn't be started.
    #[error("cannot run `{command}`")]
    Start {
        /// The command line.
        command: String,
        /// The error of the system.
        source: io::Error,
    },
    /// It exited with a status other than 0, or was killed by a signal.
    #[error("`{command}` {}{}", describe(*status), in_folder(dir))]
    Failed {
        /// The command line.
        command: String,
        /// The folder it ran in.
        dir: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its output.
        last_lines: Vec<String>,
    },
}

/// Says in which folder a command ran, if that matters to the reader.
fn in_folder(dir: &Path) -> String {
    if dir == Path::new("/") { String::new() } else { format!(" (in {})", dir.display()) }
}

impl CommandError {
    /// The last lines of the output of a command that failed.
    #[must_use]
    pub fn last_lines(&self) -> &[String] {
        match self {
            Self::Failed { last_lines, .. } => last_lines,
            _ => &[],
        }
    }
}

impl Command {
    /// A program with arguments, to run in `dir`.
    pub fn new<A: Into<String>>(program: &str, args: impl IntoIterator<Item = A>, dir: &Path) -> Self {
        Self {
            program: program.to_owned(),
            args: args.into_iter().map(Into::into).collect(),
            dir: dir.to_owned(),
            env: Variables::default(),
            environment: Environment::Inherited,
            outlives_gatling: false,
            quiet: false,
            label: None,
        }
    }

    /// The command in a folder below its own.
    #[must_use]
    pub fn in_folder(mut self, folder: &str) -> Self {
        self.label = Some(format!("cd {} && {self}", shell::word(folder)));
        self.dir.push(folder);
        self
    }

    /// The command with more variables.
    #[must_use]
    pub fn with_env<'a>(mut self, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.env.extend(variables);
        self
    }

    /// The command, with its command line only shown for debugging.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// The command, run as root with sudo if `needed`.
    #[must_use]
    pub fn as_root(mut self, needed: bool) -> Self {
        if needed {
            let program = std::mem::replace(&mut self.program, "sudo".to_owned());
            self.args.splice(0..0, ["-n".to_owned(), program]);
        }
        self
    }

    /// The path of the program, if it exists.
    #[must_use]
    pub fn find(&self) -> Option<PathBuf> {
        find_program(&self.program, &self.dir)
    }

    /// The program that is missing to run it: its own, or the one that sudo runs.
    #[must_use]
    pub fn missing(&self) -> Option<&str> {
        let programs = [Some(&self.program), self.args.get(1).filter(|_| self.program == "sudo")];
        programs.into_iter().flatten().map(String::as_str).find(|program| find_program(program, &self.dir).is_none())
    }

    /// Runs the command, passes its output to `on_lines`, and returns its exit status.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn stream(&self, on_lines: impl FnMut(Lines)) -> Result<ExitStatus, CommandError> {
        self.start(false)?.stream(on_lines)
    }

    /// Starts the command in a new process group.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_in_group(&self) -> Result<Started, CommandError> {
        self.start(true)
    }

    /// Runs the command like [`Command::stream`]. A status other than 0 is an error.
    ///
    /// # Errors
    /// When it can't be started, or fails.
    pub fn run(&self, on_lines: impl FnMut(Lines)) -> Result<(), CommandError> {
        self.start(false)?.finish(on_lines)
    }

    /// Runs the command and returns its output, without trailing white space.
    ///
    /// # Errors
    /// When it can't be started, or fails.
    pub fn output(&self) -> Result<String, CommandError> {
        let mut text = String::new();
        self.run(|lines| {
            text.push_str(&lines.text);
            text.push_str(if lines.open { "" } else { "\n" });
        })?;
        Ok(text.trim_end().to_owned())
    }

    /// Runs the command to its end and returns its unchanged standard output. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// When it can't be started, or fails. The error contains its standard error.
    pub fn capture(&self) -> Result<String, CommandError> {
        let Some(program) = self.find() else {
            return Err(CommandError::NotFound { program: self.program.clone() });
        };
        let output = std::process::Command::new(program)
            .args(&self.args)
            .current_dir(&self.dir)
            .envs(self.env.iter())
            .stdin(Stdio::null())
            .output()
            .map_err(|source| CommandError::Start { command: self.to_string(), source })?;
        if !output.status.success() {
            let last_lines = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
            let (command, dir) = (self.to_string(), self.dir.clone());
            return Err(CommandError::Failed { command, dir, status: output.status, last_lines });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Turns the exit status of this command into a result.
    ///
    /// # Errors
    /// [`CommandError::Failed`] for a status other than 0.
    pub fn result(&self, status: ExitStatus, last_lines: LastLines) -> Result<(), CommandError> {
        if status.success() {
            return Ok(());
        }
        let (command, dir) = (self.to_string(), self.dir.clone());
        Err(CommandError::Failed { command, dir, status, last_lines: last_lines.into() })
    }

    fn start(&self, in_group: bool) -> Result<Started, CommandError> {
        if !self.dir.is_dir() {
            return Err(CommandError::NoDir { command: self.to_string(), dir: self.dir.clone() });
        }
        let Some(program) = self.find() else {
            return Err(CommandError::NotFound { program: self.program.clone() });
        };
        tracing::debug!(command = %self, dir = %self.dir.display(), program = %program.display(), "starting");
        let start_error = |source| CommandError::Start { command: self.to_string(), source };
        let (reader, writer) = io::pipe().map_err(start_error)?;
        let mut command = std::process::Command::new(program);
        if let Environment::Only(names) = &self.environment {
            command.env_clear();
            command.envs(names.iter().filter_map(|name| Some((name, env::var_os(name)?))));
        }
        command
            .args(&self.args)
            .current_dir(&self.dir)
            .envs(self.env.iter())
            .stdin(Stdio::null())
            .stdout(writer.try_clone().map_err(start_error)?)
            .stderr(writer);
        if in_group {
            command.process_group(0);
        }
        if !self.outlives_gatling {
            // SAFETY: between fork and exec this makes one system call and allocates nothing.
            unsafe {
                command.pre_exec(|| {
                    // When Gatling is killed, its lock is released and the next run can start. This program must not
                    // work in the build dir by then. Processes that it has started itself are not killed by this.
                    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
                    Ok(())
                });
            }
        }
        // The parent's copies of the pipe's write end are closed when `command` is dropped, at the return.
        let child = command.spawn().map_err(start_error)?;
        let output = LineReader::new(reader);
        Ok(Started { command: self.clone(), child, output, in_group, is_over: false })
    }
}

/// The command line, as a user would type it.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = &self.label {
            return f.write_str(label);
        }
        let mut line = shell::word(&self.program).into_owned();
        for arg in &self.args {
            if line.len() > MAX_DISPLAYED {
                break;
            }
            line.push(' ');
            line.push_str(&shell::word(arg));
        }
        if line.len() <= MAX_DISPLAYED {
            return f.write_str(&line);
        }
        let label = &line[..line.floor_char_boundary(MAX_DISPLAYED)];
        write!(f, "{label}… (truncated: {} arguments in total)", self.args.len())
    }
}

/// The path of a program: searched on the `PATH` or, if it is a path, resolved in `dir`.
#[must_use]
pub fn find_program(program: &str, dir: &Path) -> Option<PathBuf> {
    find_program_on(&env::var_os("PATH").unwrap_or_default(), program, dir)
}

/// The path of a program: searched on `search_path` or, if it is a path, resolved in `dir`.
#[must_use]
pub fn find_program_on(search_path: &OsStr, program: &str, dir: &Path) -> Option<PathBuf> {
    let runnable = |path: &PathBuf| path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
    if program.contains('/') {
        return Some(dir.join(program)).filter(runnable);
    }
    if program.is_empty() {
        return None;
    }
    env::split_paths(search_path).map(|folder| folder.join(program)).find(runnable)
}

/// How to install a missing program, as the end of an error message.
fn install_hint(program: &str) -> String {
    let package = match program {
        "mix" => "elixir",
        "nginx" => "nginx-light",
        "git" | "sudo" | "curl" => program,
        "service" | "update-rc.d" => "init-system-helpers",
        _ => return String::new(),
    };
    format!(": install it with `apt-get install {package}`, or add its folder to `path` in the operator's file")
}

/// How a program ended, as a predicate: "exited with status 1".
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// The exit status as a shell reports it: 128 plus the signal's number if a signal killed the program.
#[must_use]
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

#[cfg(test)]
mod tests;
