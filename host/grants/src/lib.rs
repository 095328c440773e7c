//! What hooks may do beyond reading their env record and logging: the grants of `gatling.toml`, within the caps of
//! the operator's file.

mod written;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use written::patterns;
pub use written::{Base, HostGrant, PathGrant, ProgramGrant, VariableGrant};

/// The name of the file with the grants, in the root of the project.
pub const PROJECT_FILE: &str = "gatling.toml";

/// `[hooks.grants]` in the project's file. Everything that is not listed is denied.
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
    /// Variables of the project's `.env` that hooks may read.
    pub env: Vec<VariableGrant>,
}

/// `[hooks.grants]` in the operator's file: the most that projects may grant to their hooks. A missing key sets no
/// cap.
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

/// A command that a hook asks to run.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The program, as the hook names it.
    pub program: &'a str,
    /// Its arguments.
    pub args: &'a [String],
    /// The names of the variables that the hook sets for it.
    pub env: &'a [&'a str],
    /// The folder to run it in, as the hook names it; `None` is the build dir.
    pub cd: Option<&'a str>,
}

/// Files in the root of a project that control Gatling.
const CONTROL_FILES: [&str; 7] =
    [PROJECT_FILE, "upgrade.wasm", "deploy.wasm", "rollback.wasm", "unload.wasm", "domains", "nginx.conf"];

/// Why a path is denied even if a folder that contains it is granted.
fn always_denied(access: Access, base: Base, path: &Path) -> Option<&'static str> {
    match base {
        Base::Build if access == Access::Write && path.components().any(|name| name.as_os_str() == ".git") => {
            Some("hooks may not write into .git: git could run files from there, outside of the sandbox")
        }
        Base::Build if access == Access::Write && CONTROL_FILES.iter().any(|file| path == Path::new(file)) => {
            Some("hooks may not write the files that control Gatling: they would change what the next deployment does")
        }
        Base::Deploy if path.starts_with(".env") => {
            Some("hooks may not open the project's .env: grant its variables by name, with `env` under [hooks.grants]")
        }
        _ => None,
    }
}

/// How a hook accesses a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read it.
    Read,
    /// Create, change or remove it.
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

/// One key of `[hooks.grants]`, for display.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedGrant {
    /// The key.
    pub key: &'static str,
    /// The grants of the project's file.
    pub granted: Vec<String>,
    /// The cap of the operator's file, if it has one.
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
    /// The grants of the project's file, within the caps of the operator's file.
    #[must_use]
    pub fn of(granted: &GrantSettings, caps: &GrantCaps, operator_file: &Path) -> Self {
        Self { granted: granted.clone(), caps: caps.clone(), operator_file: operator_file.to_owned() }
    }

    /// Every key of `[hooks.grants]`, with its grants and caps in TOML syntax.
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
    /// The message has the line to add, and the file to add it to.
    pub fn may_run(&self, run: Run<'_>) -> Result<(), String> {
        let covers = |grant: &ProgramGrant| grant.covers(run);
        // If the program is granted with other arguments or variables, only grant these ones.
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
    /// The message has the line to add, and the file to add it to.
    pub fn may_access(&self, access: Access, base: Base, path: &Path) -> Result<(), String> {
        if let Some(why) = always_denied(access, base, path) {
            return Err(why.to_owned());
        }
        let covers = |grant: &PathGrant| grant.covers(base, path);
        let wanted = PathGrant { base, path: path.to_owned() };
        let what = format!("{} {wanted}", access.name());
        let (granted, caps) = (&self.granted, &self.caps);
        let write = || self.check("write", &what, &granted.write, caps.write.as_deref(), covers, &wanted);
        match access {
            Access::Write => write(),
            // Writable paths are also readable, within the operator's cap on reading.
            Access::Read if write().is_ok() && self.may_read(base, path) => Ok(()),
            Access::Read => self.check("read", &what, &granted.read, caps.read.as_deref(), covers, &wanted),
        }
    }

    /// The topmost granted folder that contains the path, or the path itself; `None` if the access is not granted.
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

    /// Whether the operator's file lets hooks read a path.
    fn may_read(&self, base: Base, path: &Path) -> bool {
        self.caps.read.as_ref().is_none_or(|caps| caps.iter().any(|cap| cap.covers(base, path)))
    }

    /// Whether something below this path is granted by both files.
    #[must_use]
    pub fn contains_granted(&self, base: Base, path: &Path) -> bool {
        let contains = |granted: &[PathGrant], caps: Option<&[PathGrant]>| {
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
        always_denied(Access::Read, base, path).is_none()
            && (contains(&granted.read, caps.read.as_deref()) || contains(&granted.write, caps.write.as_deref()))
    }

    /// Whether a hook may send requests to a server.
    ///
    /// # Errors
    /// The message has the line to add, and the file to add it to.
    pub fn may_request(&self, host: &str, port: u16) -> Result<(), String> {
        let covers = |grant: &HostGrant| grant.covers(host, port);
        let port = Some(port).filter(|port| !HostGrant::PORTS.contains(port));
        let wanted = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let wanted = HostGrant::try_from(wanted.to_ascii_lowercase())
            .map_err(|error| format!("hooks may not send this request: {error}"))?;
        let what = format!("send requests to {wanted}");
        self.check("http", &what, &self.granted.http, self.caps.http.as_deref(), covers, &wanted)
    }

    /// Whether a hook may read a variable of the project's `.env`.
    ///
    /// # Errors
    /// The message has the line to add, and the file to add it to.
    pub fn can_read_variable(&self, name: &str) -> Result<(), String> {
        let wanted = VariableGrant::try_from(name.to_owned())
            .map_err(|error| format!("hooks may not read the variable {name:?}: {error}"))?;
        let covers = |grant: &VariableGrant| *grant == wanted;
        let what = format!("read the variable {name:?}");
        self.check("env", &what, &self.granted.env, self.caps.env.as_deref(), covers, &wanted)
    }

    /// The names of the variables that hooks may read.
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
                "hooks may not {what} on this server: to allow it, its operator must write into {}, under [hooks.grants]: {}",
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

/// The line that also grants `wanted`.
fn line<G: fmt::Display>(key: &str, granted: &[G], wanted: &G) -> String {
    let grants: Vec<_> = granted.iter().chain([wanted]).map(ToString::to_string).collect();
    format!("{key} = [{}]", grants.join(", "))
}

#[cfg(test)]
mod tests;
