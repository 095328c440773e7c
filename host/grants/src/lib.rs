//! What hooks may do beyond reading their env and logging: what `gatling.toml` grants, within
//! what the operator's file allows.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use gatling_process::shell::check_variable_name;

/// The name of the file that grants are written in, in the root of the project.
pub const PROJECT_FILE: &str = "gatling.toml";

/// `[hooks.grants]` in the project's file: nothing is granted that isn't named.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct GrantSettings {
    /// Programs that hooks may run.
    pub run: Vec<ProgramGrant>,
    /// Files and folders that hooks may read.
    pub read: Vec<PathGrant>,
    /// Files and folders that hooks may write, and read.
    pub write: Vec<PathGrant>,
    /// Servers that hooks may send HTTP requests to.
    pub http: Vec<HostGrant>,
    /// Variables of the project's `.env` that hooks get.
    pub env: Vec<VariableGrant>,
}

/// `[hooks.grants]` in the operator's file: the most that projects may grant to their hooks. A
/// key that isn't there sets no cap.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct GrantCaps {
    /// Programs.
    pub run: Option<Vec<ProgramGrant>>,
    /// Files and folders to read.
    pub read: Option<Vec<PathGrant>>,
    /// Files and folders to write.
    pub write: Option<Vec<PathGrant>>,
    /// Servers.
    pub http: Option<Vec<HostGrant>>,
    /// Variables.
    pub env: Option<Vec<VariableGrant>>,
}

/// A program, by the very name or path that the hook uses, and where it matters the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramGrant {
    program: String,
    /// One pattern for each argument; none lets all arguments through.
    args: Option<Vec<String>>,
    /// The variables that a hook may set for it; none lets all through, unless arguments are
    /// named: variables can have a program do something else altogether.
    env: Option<Vec<String>>,
    /// The folders beside the build dir that a hook may run it in, as the hook names them; none
    /// lets all through, unless arguments are named: in another folder they can mean other files.
    cd: Option<Vec<String>>,
}

/// What a hook wants to run.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The program, as the hook names it.
    pub program: &'a str,
    /// Its arguments.
    pub args: &'a [String],
    /// The names of the variables that the hook sets for it.
    pub env: &'a [&'a str],
    /// The folder to run it in, as the hook names it; none is the build dir.
    pub cd: Option<&'a str>,
}

/// The last pattern of a list, for any number of further arguments.
const ANY_FURTHER: &str = "**";

impl ProgramGrant {
    fn covers(&self, run: Run<'_>) -> bool {
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
        Some((last, patterns)) if last == ANY_FURTHER => {
            args.len() >= patterns.len() && all_match(patterns, &args[..patterns.len()])
        }
        _ => patterns.len() == args.len() && patterns.iter().zip(args).all(|(pattern, arg)| matches(pattern, arg)),
    }
}

/// Patterns that let these arguments through.
fn patterns(args: &[String]) -> Vec<String> {
    // As an argument it is itself, and as a pattern it would stand for any further ones.
    args.iter().map(|arg| if arg == ANY_FURTHER { "*".to_owned() } else { arg.clone() }).collect()
}

/// Whether the whole text fits a pattern in which each `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        // The first place that fits leaves the most for what follows.
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(end)
}

impl fmt::Display for ProgramGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |texts: &[String]| texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ");
        if self.args.is_none() && self.env.is_none() && self.cd.is_none() {
            return f.write_str(&quoted(&self.program));
        }
        write!(f, "{{ program = {}", quoted(&self.program))?;
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

        /// A name that a program can have. Others would never grant what they seem to.
        fn named<E: de::Error>(program: &str) -> Result<String, E> {
            if program.is_empty() || program.contains(['*', '\0']) {
                return Err(E::custom(format!(
                    "{program:?} is not the name of a program, letter by letter: patterns are for `args`"
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
                Ok(ProgramGrant { program: named(program)?, args: None, env: None, cd: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ProgramGrant, A::Error> {
                let Table { program, args, env, cd } = Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
                if args.iter().flatten().rev().skip(1).any(|pattern| pattern == ANY_FURTHER) {
                    return Err(de::Error::custom("\"**\", any further arguments, is the last of `args`"));
                }
                Ok(ProgramGrant { program: named(&program)?, args, env, cd })
            }
        }

        deserializer.deserialize_any(Program)
    }
}

/// The folders that paths of grants are below.
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

    /// What a path of a grant begins with.
    fn prefix(self) -> &'static str {
        match self {
            Self::Build => "$build_dir",
            Self::Deploy => "$deploy_dir",
        }
    }
}

/// A file or a folder with all that is in it, below the build dir or, with `$deploy_dir/` before
/// it, the deploy dir.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathGrant {
    /// What the path is below.
    pub base: Base,
    /// The path, without `.` and `..`; empty for the whole folder.
    pub path: PathBuf,
}

impl PathGrant {
    /// Whether the grant is for this file or folder, or one that it is in.
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
            // Else it would be taken for the name of a base.
            (Base::Build, false) if path.starts_with('$') => format!("./{path}"),
            (Base::Build, false) => path.into_owned(),
            (base, true) => base.prefix().to_owned(),
            (base, false) => format!("{}/{path}", base.prefix()),
        };
        f.write_str(&quoted(&text))
    }
}

impl TryFrom<String> for PathGrant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fit = "name a file or a folder below the build dir, such as \"priv/static\", \".\" for all of it, or one below the deploy dir, such as \"$deploy_dir/log\"";
        let prefixed = Base::ALL.iter().find_map(|base| {
            let rest = text.strip_prefix(base.prefix())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| (*base, rest.trim_start_matches('/')))
        });
        let (base, rest) = prefixed.unwrap_or((Base::Build, text.as_str()));
        if text.is_empty() || rest.starts_with('$') || text.contains('\0') {
            return Err(format!("{text:?} is no path of a grant: {fit}"));
        }
        let mut path = PathBuf::new();
        for component in Path::new(rest).components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                Component::ParentDir => return Err(format!("{text:?} leads out with `..`: {fit}")),
                Component::RootDir | Component::Prefix(_) => return Err(format!("{text:?} is absolute: {fit}")),
            }
        }
        if base == Base::Deploy && path.starts_with(".env") {
            return Err(format!("{text:?} is not granted as a file: grant variables by their names, with `env`"));
        }
        Ok(Self { base, path })
    }
}

/// A server: the name of a host or an address, with a port or for both of http's and https' own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostGrant {
    host: String,
    port: Option<u16>,
}

impl HostGrant {
    /// The ports of a grant that names none.
    const PORTS: [u16; 2] = [80, 443];

    fn covers(&self, host: &str, port: u16) -> bool {
        let ports = self.port.as_ref().map_or(Self::PORTS.as_slice(), std::slice::from_ref);
        self.host.eq_ignore_ascii_case(host) && ports.contains(&port)
    }
}

impl fmt::Display for HostGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        f.write_str(&quoted(&format!("{}{port}", self.host)))
    }
}

impl TryFrom<String> for HostGrant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no server: name its host, such as \"hooks.slack.com\", with a port if it isn't 80 or 443, such as \"127.0.0.1:8080\""
            )
        };
        // An IPv6 address has colons of its own, and stands in brackets.
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
pub struct VariableGrant(String);

impl fmt::Display for VariableGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(&self.0))
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

/// A string as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Files in the root of a project that Gatling goes by.
const GATLINGS_OWN: [&str; 6] = [PROJECT_FILE, "upgrade.wasm", "deploy.wasm", "unload.wasm", "domains", "nginx.conf"];

/// What no grant of a whole folder means to give away.
fn never(access: Access, base: Base, path: &Path) -> Option<&'static str> {
    match base {
        Base::Build if access == Access::Write && path.components().any(|name| name.as_os_str() == ".git") => {
            Some("hooks may not write into .git: git would run what they put there, outside the sandbox")
        }
        Base::Build if access == Access::Write && GATLINGS_OWN.iter().any(|file| path == Path::new(file)) => {
            Some("hooks may not write the files that say what Gatling does: the next deployment would go by them")
        }
        Base::Deploy if path.starts_with(".env") => Some(
            "hooks may not open the project's .env: grant variables of it by their names, with `env` under [hooks.grants]",
        ),
        _ => None,
    }
}

/// What a hook can want to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Look at it.
    Read,
    /// Make, change or remove it.
    Write,
}

impl Access {
    /// The grant's key.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// One key of `[hooks.grants]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedGrant {
    /// The key.
    pub key: &'static str,
    /// What the project's file grants.
    pub granted: Vec<String>,
    /// The most that the operator's file allows; none where it sets no cap.
    pub cap: Option<Vec<String>>,
}

/// The grants of a project's hooks, within the operator's caps.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    granted: GrantSettings,
    caps: GrantCaps,
    operator_file: PathBuf,
}

impl Grants {
    /// What the project's file grants, capped by the operator's.
    #[must_use]
    pub fn of(granted: &GrantSettings, caps: &GrantCaps, operator_file: &Path) -> Self {
        Self { granted: granted.clone(), caps: caps.clone(), operator_file: operator_file.to_owned() }
    }

    /// Every key of `[hooks.grants]` with what it grants and what the operator's file caps it to,
    /// as a person would write them.
    #[must_use]
    pub fn listed(&self) -> [ListedGrant; 5] {
        fn one<G: fmt::Display>(key: &'static str, granted: &[G], cap: Option<&[G]>) -> ListedGrant {
            let texts = |grants: &[G]| grants.iter().map(ToString::to_string).collect();
            ListedGrant { key, granted: texts(granted), cap: cap.map(texts) }
        }
        let (granted, caps) = (&self.granted, &self.caps);
        [
            one("run", &granted.run, caps.run.as_deref()),
            one("read", &granted.read, caps.read.as_deref()),
            one("write", &granted.write, caps.write.as_deref()),
            one("http", &granted.http, caps.http.as_deref()),
            one("env", &granted.env, caps.env.as_deref()),
        ]
    }

    /// Whether a hook may run a program with these arguments and variables.
    ///
    /// # Errors
    /// A message that says what to add where.
    pub fn may_run(&self, run: Run<'_>) -> Result<(), String> {
        let covers = |grant: &ProgramGrant| grant.covers(run);
        // Where the program is granted with other arguments or variables, what is missing is these.
        let wanted = |grants: &[ProgramGrant]| {
            let others = grants.iter().any(|grant| grant.program == run.program);
            ProgramGrant {
                program: run.program.to_owned(),
                args: others.then(|| patterns(run.args)),
                env: others.then(|| run.env.iter().map(|name| (*name).to_owned()).collect()),
                cd: others.then(|| run.cd.iter().map(|folder| (*folder).to_owned()).collect()),
            }
        };
        let what = |wanted: &ProgramGrant| {
            let Some(args) = &wanted.args else { return format!("run {:?}", run.program) };
            let env = if run.env.is_empty() { String::new() } else { format!(" and the variables {:?}", run.env) };
            let cd = run.cd.map(|folder| format!(" in {folder:?}")).unwrap_or_default();
            format!("run {:?} with the arguments {args:?}{env}{cd}", run.program)
        };
        let cap = self.caps.run.as_deref();
        if let Some(cap) = cap {
            let wanted = wanted(cap);
            self.check("run", &what(&wanted), cap, Some(cap), covers, &wanted)?;
        }
        let wanted = wanted(&self.granted.run);
        self.check("run", &what(&wanted), &self.granted.run, cap, covers, &wanted)
    }

    /// Whether a hook may read or write a file or folder.
    ///
    /// # Errors
    /// A message that says what to add where.
    pub fn may_access(&self, access: Access, base: Base, path: &Path) -> Result<(), String> {
        if let Some(why) = never(access, base, path) {
            return Err(why.to_owned());
        }
        let covers = |grant: &PathGrant| grant.covers(base, path);
        let wanted = PathGrant { base, path: path.to_owned() };
        let what = format!("{} {wanted}", access.name());
        let (granted, caps) = (&self.granted, &self.caps);
        let write = || self.check("write", &what, &granted.write, caps.write.as_deref(), covers, &wanted);
        match access {
            Access::Write => write(),
            // What may be written may be read, as far as the operator lets anything be read.
            Access::Read if write().is_ok() && self.may_be_read(base, path) => Ok(()),
            Access::Read => self.check("read", &what, &granted.read, caps.read.as_deref(), covers, &wanted),
        }
    }

    /// The widest path around this one within which a hook may do as it may with this one; none
    /// where it may not.
    #[must_use]
    pub fn confinement(&self, access: Access, base: Base, path: &Path) -> Option<PathBuf> {
        let widest = |grants: &[PathGrant]| {
            let covering = grants.iter().filter(|grant| grant.covers(base, path));
            covering.map(|grant| grant.path.clone()).min_by_key(|path| path.components().count())
        };
        let within = |granted: &[PathGrant], caps: Option<&[PathGrant]>| {
            let granted = widest(granted)?;
            let cap = caps.map_or(Some(PathBuf::new()), widest)?;
            // Both are prefixes of one path.
            Some(if cap.starts_with(&granted) { cap } else { granted })
        };
        let write = || within(&self.granted.write, self.caps.write.as_deref());
        let read = |granted| within(granted, self.caps.read.as_deref());
        match access {
            Access::Write => write(),
            Access::Read => read(&self.granted.read).or_else(|| {
                let (readable, writable) = (read(&self.granted.write)?, write()?);
                // Both are prefixes of one path.
                Some(if readable.starts_with(&writable) { readable } else { writable })
            }),
        }
    }

    /// Whether the operator lets hooks read this.
    fn may_be_read(&self, base: Base, path: &Path) -> bool {
        self.caps.read.as_ref().is_none_or(|caps| caps.iter().any(|cap| cap.covers(base, path)))
    }

    /// Whether this could only be a folder on the way to something that both files grant.
    #[must_use]
    pub fn is_on_the_way(&self, base: Base, path: &Path) -> bool {
        let leads = |granted: &[PathGrant], caps: Option<&[PathGrant]>| {
            granted.iter().filter(|grant| grant.base == base).any(|grant| {
                let within = |cap: &PathGrant| {
                    let inner = if cap.path.starts_with(&grant.path) { &cap.path } else { &grant.path };
                    let both = cap.base == base && inner.starts_with(&cap.path) && inner.starts_with(&grant.path);
                    both && inner != path && inner.starts_with(path)
                };
                match caps {
                    Some(caps) => caps.iter().any(within),
                    None => grant.path != path && grant.path.starts_with(path),
                }
            })
        };
        let (granted, caps) = (&self.granted, &self.caps);
        never(Access::Read, base, path).is_none()
            && (leads(&granted.read, caps.read.as_deref()) || leads(&granted.write, caps.write.as_deref()))
    }

    /// Whether a hook may send requests to a server.
    ///
    /// # Errors
    /// A message that says what to add where.
    pub fn may_ask(&self, host: &str, port: u16) -> Result<(), String> {
        let covers = |grant: &HostGrant| grant.covers(host, port);
        let port = Some(port).filter(|port| !HostGrant::PORTS.contains(port));
        let wanted = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let wanted = HostGrant::try_from(wanted.to_ascii_lowercase())
            .map_err(|error| format!("hooks may not send requests there: {error}"))?;
        let what = format!("send requests to {wanted}");
        self.check("http", &what, &self.granted.http, self.caps.http.as_deref(), covers, &wanted)
    }

    /// Whether a hook may know a variable of the project's `.env`.
    ///
    /// # Errors
    /// A message that says what to add where.
    pub fn can_read_variable(&self, name: &str) -> Result<(), String> {
        let wanted = VariableGrant::try_from(name.to_owned())
            .map_err(|error| format!("hooks may not read the variable {name:?}: {error}"))?;
        let covers = |grant: &VariableGrant| *grant == wanted;
        let what = format!("read the variable {name:?}");
        self.check("env", &what, &self.granted.env, self.caps.env.as_deref(), covers, &wanted)
    }

    /// The names of the variables that hooks may know.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let names = self.granted.env.iter().map(|grant| grant.0.as_str());
        names.filter(|name| self.can_read_variable(name).is_ok())
    }

    fn check<G: fmt::Display>(
        &self,
        key: &str,
        what: &str,
        granted: &[G],
        cap: Option<&[G]>,
        covers: impl Fn(&G) -> bool,
        wanted: &G,
    ) -> Result<(), String> {
        if let Some(cap) = cap.filter(|cap| !cap.iter().any(&covers)) {
            return Err(format!(
                "hooks may not {what} on this server: its operator allows it by writing into {}, under [hooks.grants]: {}",
                self.operator_file.display(),
                line(key, cap, wanted)
            ));
        }
        if !granted.iter().any(covers) {
            return Err(format!(
                "hooks may not {what}: to grant it, write into {PROJECT_FILE}, under [hooks.grants]: {}",
                line(key, granted, wanted)
            ));
        }
        Ok(())
    }
}

/// The line that grants one thing more.
fn line<G: fmt::Display>(key: &str, granted: &[G], wanted: &G) -> String {
    let grants: Vec<_> = granted.iter().chain([wanted]).map(ToString::to_string).collect();
    format!("{key} = [{}]", grants.join(", "))
}

#[cfg(test)]
mod tests;
