//! The versions that a project's files require: `.tool-versions` and `mise.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gatling_pipeline::facts::mix::Requirement;
use rustix::fs::OFlags;
use serde::Deserialize;

/// The file of asdf, which mise also reads.
const TOOL_VERSIONS: &str = ".tool-versions";
/// The files of mise.
const MISE_FILES: [&str; 2] = ["mise.toml", ".mise.toml"];
/// The largest allowed size of such a file, in bytes.
const MAX_SIZE: u64 = 64 * 1024;

/// The versions that a project requires.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredVersions {
    /// The project's folder.
    pub build_dir: PathBuf,
    /// `elixir:` in mix.exs.
    pub requirement: Option<Requirement>,
    /// The versions in the files of version managers.
    pub pins: Vec<Pin>,
}

/// A version in the file of a version manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The tool.
    pub tool: Tool,
    /// The version as written, such as `1.18.4-otp-27`.
    pub version: String,
    /// The name of the file.
    pub file: &'static str,
    /// The line, counted from 1.
    pub line: usize,
}

/// A tool whose version a project can pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tool {
    /// Elixir.
    Elixir,
    /// Erlang/OTP.
    Erlang,
}

impl Tool {
    const ALL: [Self; 2] = [Self::Elixir, Self::Erlang];

    /// Its name in version managers.
    fn name(self) -> &'static str {
        match self {
            Self::Elixir => "elixir",
            Self::Erlang => "erlang",
        }
    }

    fn named(name: &str) -> Option<Self> {
        let name = name.strip_prefix("core:").unwrap_or(name);
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tool = match self.tool {
            Tool::Elixir => "Elixir",
            Tool::Erlang => "Erlang/OTP",
        };
        write!(f, "{}, line {}, requires {tool} {}", self.file, self.line, self.version)
    }
}

impl RequiredVersions {
    /// Reads the files of version managers in the build dir. None of them needs to exist.
    ///
    /// # Errors
    /// If a file is not a regular file, is too large or cannot be parsed: the error names it.
    pub fn read(build_dir: &Path, requirement: Option<Requirement>) -> Result<Self> {
        let mut pins = Vec::new();
        if let Some(text) = read(build_dir, TOOL_VERSIONS)? {
            pins.extend(tool_versions(&text));
        }
        for file in MISE_FILES {
            if let Some(text) = read(build_dir, file)? {
                let found = mise(&text, file);
                pins.extend(found.with_context(|| format!("cannot parse {}", build_dir.join(file).display()))?);
            }
        }
        Ok(Self { build_dir: build_dir.to_owned(), requirement, pins })
    }
}

/// The text of a file in the build dir. It is untrusted: the user who pushed decides what it is.
fn read(build_dir: &Path, name: &str) -> Result<Option<String>> {
    let path = build_dir.join(name);
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    if metadata.is_symlink() {
        bail!("{} must be a regular file, not a symlink", path.display());
    }
    if !metadata.is_file() {
        bail!("{} must be a regular file", path.display());
    }
    let context = || format!("cannot read {}", path.display());
    // The path may have been replaced since the check.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(&path).with_context(context)?;
    let mut text = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut text).with_context(context)?;
    if text.len() as u64 > MAX_SIZE {
        bail!("{} must not be larger than {} KB", path.display(), MAX_SIZE / 1024);
    }
    let text = String::from_utf8(text).ok().with_context(|| format!("{} must be text in UTF-8", path.display()))?;
    Ok(Some(text))
}

/// The first version of each tool, as asdf reads the file.
fn tool_versions(text: &str) -> Vec<Pin> {
    let mut pins: Vec<Pin> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (Some(tool), Some(version)) = (words.next().and_then(Tool::named), words.next()) else { continue };
        if pins.iter().all(|pin| pin.tool != tool) {
            pins.push(Pin { tool, version: version.to_owned(), file: TOOL_VERSIONS, line: number });
        }
    }
    pins
}

/// The part of a `mise.toml` that Gatling reads.
#[derive(Deserialize)]
struct MiseFile {
    #[serde(default)]
    tools: BTreeMap<String, toml::Spanned<toml::Value>>,
}

fn mise(text: &str, file: &'static str) -> Result<Vec<Pin>> {
    let parsed: MiseFile = toml::from_str(text)?;
    let mut pins: Vec<_> = parsed
        .tools
        .iter()
        .filter_map(|(name, value)| {
            let line = text[..value.span().start].split('\n').count();
            let version = mise_version(value.get_ref())?;
            let version = version.strip_prefix("prefix:").unwrap_or(&version).to_owned();
            Some(Pin { tool: Tool::named(name)?, version, file, line })
        })
        .collect();
    pins.sort_by_key(|pin| pin.line);
    Ok(pins)
}

/// `"1.18"`, `27`, `["1.18", "1.17"]` or `{ version = "1.18" }`.
fn mise_version(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(version) => Some(version.clone()),
        toml::Value::Integer(version) => Some(version.to_string()),
        toml::Value::Float(version) => Some(version.to_string()),
        toml::Value::Array(versions) => mise_version(versions.first()?),
        toml::Value::Table(table) => mise_version(table.get("version")?),
        _ => None,
    }
}
