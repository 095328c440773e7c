//! A command as a value, and the one place that runs it.

mod lines;
mod started;
mod tree;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::{env, io};

use serde::Serialize;

use crate::{Variables, shell};
pub use lines::Lines;
use lines::read_lines;
pub use started::{LastLines, Started};
pub use tree::kill_tree;

/// A program to run, with all that decides what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Command {
    /// The program: a name to look up on the `PATH`, or a path.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// The folder to run it in.
    pub dir: PathBuf,
    /// Variables beside those of [`Command::environment`].
    #[serde(skip)]
    pub env: Variables,
    /// What it inherits.
    #[serde(skip)]
    pub environment: Environment,
    /// Whether it is left to finish when Gatling is killed.
    #[serde(skip)]
    pub finishes_alone: bool,
    /// Whether the command itself is told only to those who look for a fault.
    #[serde(skip)]
    pub quiet: bool,
    /// How it is shown to people, where its own words would tell them less.
    #[serde(skip)]
    pub shown: Option<String>,
}

/// The environment that a command starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Environment {
    /// Gatling's own.
    #[default]
    Inherited,
    /// Just these variables of Gatling's own.
    Only(&'static [&'static str]),
}

/// A command with more bytes than this is cut where people read it.
const LONGEST_SHOWN: usize = 4096;

/// Why a command didn't end well.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such program.
    #[error("there is no program {program} on the PATH{}", install_hint(program))]
    NotFound {
        /// The program that was looked for.
        program: String,
    },
    /// The folder to run it in isn't there.
    #[error("cannot run `{command}` in {}: there is no such folder", dir.display())]
    NoDir {
        /// The command as a person would type it.
        command: String,
        /// The folder.
        dir: PathBuf,
    },
    /// It couldn't be started.
    #[error("cannot run `{command}`")]
    Start {
        /// The command as a person would type it.
        command: String,
        /// What the system says.
        source: io::Error,
    },
    /// It ran, and said that it failed.
    #[error("`{command}` {} (in {})", describe(*status), dir.display())]
    Failed {
        /// The command as a person would type it.
        command: String,
        /// The folder it ran in.
        dir: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The last lines that it wrote.
        last_lines: Vec<String>,
    },
}

impl CommandError {
    /// The last lines that a command wrote before it failed.
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
            finishes_alone: false,
            quiet: false,
            shown: None,
        }
    }

    /// The command in a folder below its own.
    #[must_use]
    pub fn in_folder(mut self, folder: &str) -> Self {
        self.shown = Some(format!("cd {} && {self}", shell::word(folder)));
        self.dir.push(folder);
        self
    }

    /// The command with more variables.
    #[must_use]
    pub fn with_env<'a>(mut self, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.env.extend(variables);
        self
    }

    /// The command, told only to those who look for a fault.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// The command with root's rights, by sudo, if `needed`.
    #[must_use]
    pub fn as_root(mut self, needed: bool) -> Self {
        if needed {
            let program = std::mem::replace(&mut self.program, "sudo".to_owned());
            self.args.splice(0..0, ["-n".to_owned(), program]);
        }
        self
    }

    /// Where the program is, or none if it is nowhere.
    #[must_use]
    pub fn find(&self) -> Option<PathBuf> {
        find_program(&self.program, &self.dir)
    }

    /// The name of a program that is missing for it: its own, or the one that sudo is to run.
    #[must_use]
    pub fn missing(&self) -> Option<&str> {
        let programs = [Some(&self.program), self.args.get(1).filter(|_| self.program == "sudo")];
        programs.into_iter().flatten().map(String::as_str).find(|program| find_program(program, &self.dir).is_none())
    }

    /// Runs the command, hands what it writes to `take`, whole lines at a time, and returns how it ended.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn stream(&self, take: impl FnMut(Lines)) -> Result<ExitStatus, CommandError> {
        self.start(false)?.stream(take)
    }

    /// Starts the command as the leader of a process group of its own.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_in_group(&self) -> Result<Started, CommandError> {
        self.start(true)
    }

    /// Runs the command like [`Command::stream`], and takes any status but 0 for an error.
    ///
    /// # Errors
    /// When it can't be started, or fails.
    pub fn run(&self, take: impl FnMut(Lines)) -> Result<(), CommandError> {
        self.start(false)?.finish(take)
    }

    /// Runs the command and returns what it wrote, without trailing line ends.
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

    /// Runs the command to its end and returns what it wrote to its standard output, byte for byte as
    /// far as that is text.
    ///
    /// # Errors
    /// When it can't be started, or fails: with what it wrote to its standard error.
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
            let said = String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned).collect();
            let (command, dir) = (self.to_string(), self.dir.clone());
            return Err(CommandError::Failed { command, dir, status: output.status, last_lines: said });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What an exit status of this command means: any but 0 is an error.
    ///
    /// # Errors
    /// [`CommandError::Failed`], with the last lines that it wrote.
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
        if let Environment::Only(names) = self.environment {
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
        if !self.finishes_alone {
            // SAFETY: between fork and exec this makes one system call and allocates nothing.
            unsafe {
                command.pre_exec(|| {
                    // When Gatling is killed its lock is free, and the next run may begin: this
                    // program had better not be at work in the build dir then. What it started
                    // itself is out of reach here.
                    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
                    Ok(())
                });
            }
        }
        // The parent's copies of the pipe's writing end go with `command`, when this returns.
        let child = command.spawn().map_err(start_error)?;
        let ended = Arc::new(AtomicBool::new(false));
        let lines = read_lines(reader, Arc::clone(&ended));
        Ok(Started { command: self.clone(), child, lines, ended, in_group, is_over: false })
    }
}

/// The command as a person would type it.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(shown) = &self.shown {
            return f.write_str(shown);
        }
        let mut line = shell::word(&self.program).into_owned();
        for arg in &self.args {
            if line.len() > LONGEST_SHOWN {
                break;
            }
            line.push(' ');
            line.push_str(&shell::word(arg));
        }
        if line.len() <= LONGEST_SHOWN {
            return f.write_str(&line);
        }
        let shown = &line[..line.floor_char_boundary(LONGEST_SHOWN)];
        write!(f, "{shown}… (cut here: it has {} arguments)", self.args.len())
    }
}

/// Where a program is, looked up on the `PATH` or, for a path, from `dir`.
#[must_use]
pub fn find_program(program: &str, dir: &Path) -> Option<PathBuf> {
    find_program_on(&env::var_os("PATH").unwrap_or_default(), program, dir)
}

/// Where a program is, looked up on a search path or, for a path, from `dir`.
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

/// What to do about a program that isn't there, as the end of a sentence.
fn install_hint(program: &str) -> String {
    let package = match program {
        "mix" => "elixir",
        "nginx" => "nginx-light",
        "git" | "sudo" | "curl" => program,
        "service" | "update-rc.d" => "init-system-helpers",
        _ => return String::new(),
    };
    format!(": install it with `apt-get install {package}`, or name its folder under `path` in the operator's file")
}

/// How a program ended, as a verb: "exited with status 1".
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// How a program ended, as a shell's number: 128 and the signal's number for a signal.
#[must_use]
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

#[cfg(test)]
mod tests;
