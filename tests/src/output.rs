//! The output of a program that has ended.

use std::io::Write as _;
use std::process::{self, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

/// The exit status and the output of a program that has ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Runs `command` without standard input and waits for it.
    pub fn of(command: &mut Command) -> Result<Self> {
        let output = command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        Ok(output.into())
    }

    /// Runs `command` with `input` on its standard input and waits for it. The input must fit into a
    /// pipe.
    pub fn of_with_input(command: &mut Command, input: &str) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        // A program that does not read it may have ended already.
        _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        Ok(child.wait_with_output()?.into())
    }

    /// This output, or an error with all of it if the program failed.
    pub fn expect_success(self) -> Result<Self> {
        if !self.status.success() {
            bail!("{}\n{}{}", self.status, self.stdout, self.stderr);
        }
        Ok(self)
    }

    /// Its lines, without the prefix `remote: ` that git adds to a server's output.
    pub fn lines(&self) -> Vec<&str> {
        let lines = self.stdout.lines().chain(self.stderr.lines());
        // git adds spaces at the end, to overwrite what is on the terminal.
        lines
            .map(|line| {
                line.strip_prefix("remote:").map_or(line, |rest| rest.strip_prefix(' ').unwrap_or(rest)).trim_end()
            })
            .collect()
    }

    /// Whether it contains `text`, which may be wrapped over several lines.
    pub fn says(&self, text: &str) -> bool {
        let lines = self.lines();
        lines.iter().any(|line| line.contains(text)) || unwrapped(&lines).contains(&unwrapped(&[text]))
    }
}

/// Lines as one, with single spaces.
fn unwrapped(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>().join(" ")
}

/// Removes the bar before each line that a program or a hook wrote.
fn without_bars(text: &str) -> String {
    let line = |line: &str| {
        let remote = if line.starts_with("remote: ") { "remote: " } else { "" };
        match line[remote.len()..].strip_prefix("    |") {
            Some(rest) if rest.starts_with(' ') => format!("{remote}   {rest}"),
            Some(rest) if rest.trim().is_empty() => format!("{remote}    {rest}"),
            _ => line.to_owned(),
        }
    };
    text.split_inclusive('\n').map(line).collect()
}

impl From<process::Output> for Output {
    fn from(output: process::Output) -> Self {
        Self {
            status: output.status,
            stdout: without_bars(&String::from_utf8_lossy(&output.stdout)),
            stderr: without_bars(&String::from_utf8_lossy(&output.stderr)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_its_input_to_the_end() {
        let output = Output::of_with_input(&mut Command::new("cat"), "a secret\n").unwrap();
        assert_eq!(output.expect_success().unwrap().stdout, "a secret\n");
    }

    #[test]
    fn the_output_of_a_server_is_read_without_gits_prefix() {
        let stderr =
            "remote: mix_compile        \nremote:     $ mix compile        \nremote:         \nTo /home/hello\n";
        let output = Output { status: ExitStatus::default(), stdout: "done\n".to_owned(), stderr: stderr.to_owned() };
        assert_eq!(output.lines(), ["done", "mix_compile", "    $ mix compile", "", "To /home/hello"]);
        assert!(output.says("$ mix") && !output.says("remote"));
    }
}
