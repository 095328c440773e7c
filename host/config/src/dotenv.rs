//! A project's `.env`: the environment variables of its app, in a file that a shell can source.
//!
//! The init script sources the file, so a shell and Gatling must read the same values from it. Gatling writes
//! every value in single quotes. In files that are edited by hand, it accepts the shell syntax without expansions,
//! and refuses the rest.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use gatling_process::shell;

/// The variables of a `.env`, in the order of the file, each name once, and its comments. `Debug` shows only the
/// names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Dotenv {
    lines: Vec<Line>,
}

#[derive(Clone, PartialEq, Eq)]
enum Line {
    Variable(String, String),
    Comment(String),
}

impl Dotenv {
    /// Reads the file. A missing file is empty.
    ///
    /// # Errors
    /// When the file can't be read or parsed. The error names the file and the line.
    pub fn read(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("cannot parse {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Parses the text of a `.env`.
    ///
    /// # Errors
    /// Names the line that is not an assignment without expansions.
    pub fn parse(text: &str) -> Result<Self> {
        let mut env = Self::default();
        let mut parser = Parser { rest: text, line: 1 };
        while let Some(word) = parser.word(&mut env.lines)? {
            let line = parser.line;
            if word == "export" {
                continue;
            }
            let Some((name, value)) = word.split_once('=') else {
                // The message doesn't quote the word, which may be part of a secret.
                bail!(
                    "line {line} has a word that is not KEY=VALUE: put a value with spaces in single quotes, \
                     KEY='some value'"
                );
            };
            shell::check_variable_name(name).map_err(|_| {
                anyhow::anyhow!(
                    "line {line}: the text before = is not a variable name: use letters, digits and '_', and put a value with \
                     spaces in single quotes, KEY='some value'"
                )
            })?;
            env.set(name, value).with_context(|| format!("line {line}"))?;
        }
        Ok(env)
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// All variables, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().filter_map(|line| match line {
            Line::Variable(name, value) => Some((name.as_str(), value.as_str())),
            Line::Comment(_) => None,
        })
    }

    /// Sets a variable. If it exists, it keeps its position.
    ///
    /// # Errors
    /// When the name is not valid in a shell, or the value contains a NUL byte.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        shell::check_variable_name(name).map_err(anyhow::Error::msg)?;
        if value.contains('\0') {
            bail!("the value of {name} contains a NUL byte: environment variables cannot contain NUL bytes");
        }
        let new = Line::Variable(name.to_owned(), value.to_owned());
        match self.lines.iter_mut().find(|line| matches!(line, Line::Variable(key, _) if key == name)) {
            Some(line) => *line = new,
            None => self.lines.push(new),
        }
        Ok(())
    }

    /// Removes a variable. Returns whether it existed.
    pub fn unset(&mut self, name: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| !matches!(line, Line::Variable(key, _) if key == name));
        self.lines.len() < before
    }

    /// Writes the file atomically. Only its owner can read it.
    ///
    /// # Errors
    /// When the folder can't be written to.
    pub fn write(&self, path: &Path) -> Result<()> {
        let folder = path.parent().context("the path of a .env has no folder")?;
        let mut file =
            tempfile::NamedTempFile::new_in(folder).with_context(|| format!("cannot write to {}", folder.display()))?;
        file.write_all(self.to_string().as_bytes())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
        file.as_file().sync_all()?;
        file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }
}

impl std::fmt::Debug for Dotenv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl std::fmt::Display for Dotenv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lines.iter().try_for_each(|line| match line {
            Line::Variable(name, value) => writeln!(f, "{name}={}", shell::quoted(value)),
            Line::Comment(text) => writeln!(f, "#{text}"),
        })
    }
}

/// Whether a character separates the words of a shell.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n')
}

fn windows_line_end(line: usize) -> String {
    format!("line {line} has a Windows line ending: remove it with `sed -i 's/\\r$//' FILE`")
}

/// Splits shell text into words. It supports quotes, but no expansions.
struct Parser<'a> {
    rest: &'a str,
    line: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += usize::from(c == '\n');
        Some(c)
    }

    /// The next word, without its quotes; `None` at the end of the text. Comments before it are added to `lines`.
    fn word(&mut self, lines: &mut Vec<Line>) -> Result<Option<String>> {
        loop {
            match self.rest.chars().next() {
                None => return Ok(None),
                Some('#') => {
                    self.next();
                    let text = self.rest.split('\n').next().unwrap_or_default().to_owned();
                    if text.ends_with('\r') {
                        bail!(windows_line_end(self.line));
                    }
                    self.rest = &self.rest[text.len()..];
                    lines.push(Line::Comment(text));
                }
                Some(c) if is_blank(c) => _ = self.next(),
                Some(_) => break,
            }
        }
        let mut word = String::new();
        let start = self.line;
        while let Some(c) = self.rest.chars().next().filter(|c| !is_blank(*c)) {
            self.next();
            match c {
                '\r' => bail!(windows_line_end(start)),
                '\'' | '"' | '\\' if !word.contains('=') => {
                    bail!("line {start}: put the quotes after the =, as in KEY='some value'")
                }
                '\'' => self.quoted('\'', &mut word, start)?,
                '"' => self.quoted('"', &mut word, start)?,
                '\\' => match self.next() {
                    Some('\n') => {}
                    escaped => word.extend(escaped),
                },
                '$' | '`' | ';' | '&' | '|' | '<' | '>' | '(' | ')' | '*' | '?' | '[' | '~' => {
                    bail!(
                        "line {start}: {c:?} has a special meaning in a shell: put the value in single quotes, KEY='value'"
                    )
                }
                c => word.push(c),
            }
        }
        Ok(Some(word))
    }

    fn quoted(&mut self, quote: char, word: &mut String, start: usize) -> Result<()> {
        loop {
            match self.next() {
                None => bail!("line {start}: the quote {quote} is never closed"),
                Some(c) if c == quote => return Ok(()),
                Some('$' | '`') if quote == '"' => {
                    bail!(
                        "line {start}: $ and ` have a special meaning in a shell: put the value in single quotes, KEY='value'"
                    )
                }
                Some('\\') if quote == '"' => match self.next() {
                    Some('\n') => {}
                    Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                    other => {
                        word.push('\\');
                        word.extend(other);
                    }
                },
                Some(c) => word.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRICKY: &[&str] = &[
        "ecto://user:p%40ss@localhost/db?ssl=true&pool=10",
        "a=b=c",
        "",
        "two  words ",
        " leading",
        "it's \"quoted\"",
        "# no comment",
        "line one\nline two\n",
        "$HOME `id` $(id) \\n \\",
        "tab\there",
        "ünïcödé ✓",
        "'",
        "-----BEGIN KEY-----\nabc=\n-----END KEY-----\n",
    ];

    fn tricky() -> Dotenv {
        let mut env = Dotenv::default();
        for (number, value) in TRICKY.iter().enumerate() {
            env.set(&format!("V{number}"), value).expect("a good name");
        }
        env
    }

    #[test]
    fn written_values_are_read_back_unchanged() {
        assert_eq!(Dotenv::parse(&tricky().to_string()).expect("what was written can be read"), tricky());
    }

    #[test]
    fn a_shell_that_sources_the_file_sees_the_same_values() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".env");
        tricky().write(&path).expect("it is written");
        for (number, value) in TRICKY.iter().enumerate() {
            let output = std::process::Command::new("sh")
                .arg("-c")
                .arg(format!(". {}; printf '%s.' \"$V{number}\"", path.display()))
                .output()
                .expect("sh runs");
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{value}."));
        }
    }

    #[test]
    fn hand_written_files_are_read_as_a_shell_reads_them() {
        let text = "# mine\nexport A=plain\nB=\"two words\" # why\n\nC='x'\"y\"z\nD=a\\ b\nE=ecto://u:p@h/db\n";
        let env = Dotenv::parse(text).expect("it is understood");
        let expected = [("A", "plain"), ("B", "two words"), ("C", "xyz"), ("D", "a b"), ("E", "ecto://u:p@h/db")];
        assert_eq!(env.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn expansions_and_syntax_errors_are_refused_with_the_line() {
        for text in [
            "OK=1\nA=$HOME",
            "OK=1\nA=\"`id`\"",
            "OK=1\nA=x;rm",
            "OK=1\nA=a b",
            "OK=1\nA='open",
            "OK=1\n1A=x",
            "OK=1\nA=x\r\n",
            "OK=1\n# a comment\r\n",
            "OK=1\n# at the end\r\r",
            "OK=1\n\"A=x\"",
        ] {
            let error = format!("{:#}", Dotenv::parse(text).expect_err(text));
            assert!(error.contains("line 2"), "{text}: {error}");
        }
    }

    #[test]
    fn a_comment_can_contain_anything_except_a_windows_line_ending() {
        let env = Dotenv::parse("# a\rb '\"$(\u{a0}\nA=1\n#").expect("it is understood");
        assert_eq!(Dotenv::parse(&env.to_string()).expect("what was written can be read"), env);
    }

    #[test]
    fn setting_a_variable_keeps_the_comments() {
        let mut env = Dotenv::parse("# ask Ann first\nA=1 # why\n\nB=2\n# the end").expect("it is understood");
        env.set("B", "3").expect("a good name");
        assert_eq!(env.to_string(), "# ask Ann first\nA='1'\n# why\nB='3'\n# the end\n");
    }

    #[test]
    fn only_the_owner_can_read_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(".env");
        fs::write(&path, "OLD=1").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("open to all");
        tricky().write(&path).expect("it is written");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn setting_again_keeps_the_position_and_unsetting_says_whether_it_existed() {
        let mut env = Dotenv::parse("A=1\nB=2").expect("it is understood");
        env.set("A", "3").expect("a good name");
        assert_eq!(env.iter().collect::<Vec<_>>(), [("A", "3"), ("B", "2")]);
        assert!(env.unset("A"));
        assert!(!env.unset("A"));
    }
}
