//! Grants as they are written in `gatling.toml` and in the operator's file.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use gatling_process::shell::check_variable_name;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::Run;

/// A program, by exactly the name or path that the hook uses, and optionally its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramGrant {
    pub(crate) program: String,
    /// One pattern per argument; `None` allows all arguments.
    pub(crate) args: Option<Vec<String>>,
    /// The variables that a hook may set for it. `None` allows all, unless `args` is set, because variables can
    /// change what a program does.
    pub(crate) env: Option<Vec<String>>,
    /// The folders other than the build dir that a hook may run it in, as the hook names them. `None` allows all,
    /// unless `args` is set, because arguments can mean other files in another folder.
    pub(crate) cd: Option<Vec<String>>,
}

/// As the last pattern, stands for any number of further arguments.
const ANY_ARGS: &str = "**";

impl ProgramGrant {
    pub(crate) fn covers(&self, run: Run<'_>) -> bool {
        let variables = || match (&self.env, &self.args) {
            (Some(names), _) => run.env.iter().all(|name| names.iter().any(|granted| granted == name)),
            (None, Some(_)) => run.env.is_empty(),
            (None, None) => true,
        };
        let folder = || match (&self.cd, &self.args, run.cd) {
            (_, _, None) | (None, None, _) => true,
            (Some(folders), _, Some(cd)) => folders.iter().any(|folder| folder == cd),
            (None, Some(_), Some(_)) => false,
        };
        self.program == run.program
            && self.args.as_ref().is_none_or(|patterns| all_match(patterns, run.args))
            && variables()
            && folder()
    }
}

fn all_match(patterns: &[String], args: &[String]) -> bool {
    match patterns.split_last() {
        Some((last, patterns)) if last == ANY_ARGS => {
            args.len() >= patterns.len() && all_match(patterns, &args[..patterns.len()])
        }
        _ => patterns.len() == args.len() && patterns.iter().zip(args).all(|(pattern, arg)| matches(pattern, arg)),
    }
}

/// Patterns that match these arguments.
pub(crate) fn patterns(args: &[String]) -> Vec<String> {
    // The argument `**` as a pattern would match any further arguments.
    args.iter().map(|arg| if arg == ANY_ARGS { "*".to_owned() } else { arg.clone() }).collect()
}

/// Whether the whole text matches a pattern in which each `*` stands for any characters.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        // The first match leaves the most text for the rest of the pattern.
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(end)
}

impl fmt::Display for ProgramGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |texts: &[String]| texts.iter().map(|text| toml_string(text)).collect::<Vec<_>>().join(", ");
        if self.args.is_none() && self.env.is_none() && self.cd.is_none() {
            return f.write_str(&toml_string(&self.program));
        }
        write!(f, "{{ program = {}", toml_string(&self.program))?;
        if let Some(args) = &self.args {
            write!(f, ", args = [{}]", list(args))?;
        }
        if let Some(env) = self.env.as_ref().filter(|env| !env.is_empty()) {
            write!(f, ", env = [{}]", list(env))?;
        }
        if let Some(cd) = self.cd.as_ref().filter(|cd| !cd.is_empty()) {
            write!(f, ", cd = [{}]", list(cd))?;
        }
        f.write_str(" }")
    }
}

impl<'de> Deserialize<'de> for ProgramGrant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Program;

        /// Checks the name of a program. Patterns in it would never match.
        fn check_name<E: de::Error>(program: &str) -> Result<String, E> {
            if program.is_empty() || program.contains(['*', '\0']) {
                return Err(E::custom(format!(
                    "{program:?} is not the exact name of a program: patterns are only allowed in `args`"
                )));
            }
            Ok(program.to_owned())
        }

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            program: String,
            args: Option<Vec<String>>,
            env: Option<Vec<String>>,
            cd: Option<Vec<String>>,
        }

        impl<'de> Visitor<'de> for Program {
            type Value = ProgramGrant;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a program such as \"npm\", or { program = \"npm\", args = [\"run\", \"*\"] }")
            }

            fn visit_str<E: de::Error>(self, program: &str) -> Result<ProgramGrant, E> {
                Ok(ProgramGrant { program: check_name(program)?, args: None, env: None, cd: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ProgramGrant, A::Error> {
                let Table { program, args, env, cd } = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                if args.iter().flatten().rev().skip(1).any(|pattern| pattern == ANY_ARGS) {
                    return Err(de::Error::custom(
                        "\"**\" stands for any further arguments, so it must be the last pattern of `args`",
                    ));
                }
                Ok(ProgramGrant { program: check_name(&program)?, args, env, cd })
            }
        }

        deserializer.deserialize_any(Program)
    }
}

/// The folders that contain the paths of grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Base {
    /// The build dir.
    Build,
    /// The deploy dir.
    Deploy,
}

impl Base {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Build, Self::Deploy];

    /// The prefix for its paths in a grant.
    fn prefix(self) -> &'static str {
        match self {
            Self::Build => "$build_dir",
            Self::Deploy => "$deploy_dir",
        }
    }
}

/// A file, or a folder with its content, below the build dir or, with the prefix `$deploy_dir/`, below the deploy
/// dir.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathGrant {
    /// The folder that contains it.
    pub base: Base,
    /// The path below the base, without `.` and `..`; empty for the whole folder.
    pub path: PathBuf,
}

impl PathGrant {
    /// Whether the grant is for this file or folder, or for a folder that contains it.
    #[must_use]
    pub fn covers(&self, base: Base, path: &Path) -> bool {
        self.base == base && path.starts_with(&self.path)
    }
}

impl fmt::Display for PathGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.to_string_lossy();
        let text = match (self.base, path.is_empty()) {
            (Base::Build, true) => ".".to_owned(),
            // Without `./`, it would be read as a base.
            (Base::Build, false) if path.starts_with('$') => format!("./{path}"),
            (Base::Build, false) => path.into_owned(),
            (base, true) => base.prefix().to_owned(),
            (base, false) => format!("{}/{path}", base.prefix()),
        };
        f.write_str(&toml_string(&text))
    }
}

impl TryFrom<String> for PathGrant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let hint = "write a path below the build dir, such as \"priv/static\", or \".\" for all of it, or a path below the deploy dir, such as \"$deploy_dir/log\"";
        let prefixed = Base::ALL.iter().find_map(|base| {
            let rest = text.strip_prefix(base.prefix())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| (*base, rest.trim_start_matches('/')))
        });
        let (base, rest) = prefixed.unwrap_or((Base::Build, text.as_str()));
        if text.is_empty() || rest.starts_with('$') || text.contains('\0') {
            return Err(format!("{text:?} is not a valid path: {hint}"));
        }
        let mut path = PathBuf::new();
        for component in Path::new(rest).components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                Component::ParentDir => return Err(format!("{text:?} must not contain `..`: {hint}")),
                Component::RootDir | Component::Prefix(_) => {
                    return Err(format!("{text:?} must not be absolute: {hint}"));
                }
            }
        }
        if base == Base::Deploy && path.starts_with(".env") {
            return Err(format!("{text:?} cannot be granted as a file: grant its variables by name, with `env`"));
        }
        Ok(Self { base, path })
    }
}

/// A server: a host name or an address, with a port or for the default ports of HTTP and HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostGrant {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl HostGrant {
    /// The ports of a grant without a port.
    pub(crate) const PORTS: [u16; 2] = [80, 443];

    pub(crate) fn covers(&self, host: &str, port: u16) -> bool {
        let ports = self.port.as_ref().map_or(Self::PORTS.as_slice(), std::slice::from_ref);
        self.host.eq_ignore_ascii_case(host) && ports.contains(&port)
    }
}

impl fmt::Display for HostGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        f.write_str(&toml_string(&format!("{}{port}", self.host)))
    }
}

impl TryFrom<String> for HostGrant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a server: write its host, such as \"hooks.slack.com\", with a port if it is not 80 or 443, such as \"127.0.0.1:8080\""
            )
        };
        // An IPv6 address contains colons and is in brackets.
        let end = text.rfind(']').map_or(0, |bracket| bracket + 1);
        let (host, port) = match text[end..].split_once(':') {
            Some((rest, port)) => (&text[..end + rest.len()], Some(port.parse().map_err(|_| wrong())?)),
            None => (text.as_str(), None),
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address = host.starts_with('[') && bare.parse::<std::net::Ipv6Addr>().is_ok();
        let name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if !(address || name) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// A variable of the project's `.env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableGrant(pub(crate) String);

impl fmt::Display for VariableGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml_string(&self.0))
    }
}

impl TryFrom<String> for VariableGrant {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        check_variable_name(&name)?;
        Ok(Self(name))
    }
}

macro_rules! from_and_to_text {
    ($($grant:ty),*) => {$(
        impl<'de> Deserialize<'de> for $grant {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_from(String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    )*};
}
from_and_to_text!(PathGrant, HostGrant, VariableGrant);

macro_rules! to_text {
    ($($grant:ty),*) => {$(
        impl Serialize for $grant {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
to_text!(ProgramGrant, PathGrant, HostGrant, VariableGrant);

/// A string in TOML syntax.
pub(crate) fn toml_string(text: &str) -> String {
    toml::Value::from(text).to_string()
}
