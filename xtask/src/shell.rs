//! Running a command for somebody who watches: shown before it runs, an error when it fails.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Shows `command`, and runs it with its output going where this program's goes.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    println!("$ {}", text(command));
    run(command)
}

/// Runs `command` with its output going where this program's goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    if !status.success() {
        bail!("`{}` ended with {status}", text(command));
    }
    Ok(())
}

/// What `command` writes to its standard output; its standard error goes to this program's.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", text(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading the output of `{}`", text(command)))
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Where `program` is on the `PATH` or among the daemons' folders, which are often not on it.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/sbin"].map(Into::into);
    env::split_paths(&path).chain(daemons).any(|folder| folder.join(program).is_file())
}

/// A command as somebody would type it: the program by its name, without its folder.
pub(crate) fn text(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@+,%^~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_typed_into_a_shell() {
        let mut command = Command::new("/usr/bin/curl");
        command.args(["-H", "Host: it's", "http://127.0.0.1:80/"]);
        assert_eq!(text(&command), r"curl -H 'Host: it'\''s' http://127.0.0.1:80/");
    }
}
