//! What can be configured: the project's `gatling.toml` and the operator's file.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, fs, io};

use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, de};

pub use gatling_grants::PROJECT_FILE;
use gatling_grants::{GrantCaps, GrantSettings};

/// The project's `gatling.toml`: what its authors decide. Every key is optional.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectSettings {
    /// How `upgrade_service` brings the new release to life.
    pub strategy: Strategy,
    /// How mix is called.
    pub mix: MixSettings,
    /// How it is known that the app is well.
    pub health: Health,
    /// How the database is migrated.
    pub migrate: Migrate,
    /// How nginx serves the project.
    pub nginx: SiteSettings,
    /// What hooks may do.
    pub hooks: HookSettings<GrantSettings>,
}

/// How `upgrade_service` brings the new release to life.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Stop the old release, start the new one, and put the old one back if it doesn't answer.
    #[default]
    Restart,
}

impl Strategy {
    /// The strategy's name, as in `gatling.toml` and in the env.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
        }
    }
}

/// `[mix]` in the project's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct MixSettings {
    /// Compile everything anew each time: `mix compile --force`.
    pub force_compile: bool,
    /// Run the tasks in one process, one after the other.
    pub session: bool,
}

impl Default for MixSettings {
    fn default() -> Self {
        Self { force_compile: false, session: true }
    }
}

/// `migrate` in the project's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(
    untagged,
    expecting = "true, false, or a command as a list of words, such as [\"bin/my_app\", \"eval\", \"MyApp.migrate()\"]"
)]
pub enum Migrate {
    /// `true`: as the release does it, and otherwise as Ecto does it. `false`: not at all.
    Switched(bool),
    /// This command, in the release's folder.
    Command(Vec<String>),
}

impl Default for Migrate {
    fn default() -> Self {
        Self::Switched(true)
    }
}

impl Migrate {
    fn check(&self) -> Result<()> {
        match self {
            Self::Command(words) if words.first().is_none_or(String::is_empty) => {
                bail!("migrate: name a command, such as [\"bin/migrate\"]")
            }
            _ => Ok(()),
        }
    }
}

/// `[nginx]` in the project's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct SiteSettings {
    /// The largest body of a request.
    #[serde(deserialize_with = "size")]
    pub body_size: ByteSize,
}

impl Default for SiteSettings {
    fn default() -> Self {
        // As much as Plug.Parsers takes by default.
        Self { body_size: ByteSize::b(8_000_000) }
    }
}

/// `[health]` in the project's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// The path that is asked for; an answer with a status below 500 is a good one.
    pub path: String,
    /// How long a new release may take until its first good answer, in whole seconds at least.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long it has to go on answering after that, in whole seconds: an app can answer once and die.
    #[serde(deserialize_with = "duration_or_none")]
    pub watch: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self { path: "/".to_owned(), timeout: Duration::from_secs(60), watch: Duration::from_secs(3) }
    }
}

/// `[hooks]`: in the project's file what its authors want, in the operator's the most that any
/// project's hooks get. What isn't set has a default.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default, bound(deserialize = "G: Deserialize<'de> + Default"))]
pub struct HookSettings<G> {
    /// What hooks may do beyond reading their env and logging.
    pub grants: G,
    /// Wall-clock time of a hook, with all that it waits for.
    #[serde(deserialize_with = "some_duration")]
    pub timeout: Option<Duration>,
    /// Linear memory.
    #[serde(deserialize_with = "some_size")]
    pub memory: Option<ByteSize>,
    /// Elements of tables.
    pub table: Option<usize>,
    /// Lines in the log.
    pub log_lines: Option<usize>,
    /// Bytes in the log.
    #[serde(deserialize_with = "some_size")]
    pub log_bytes: Option<ByteSize>,
    /// Bytes of a program's output that are returned to the hook.
    #[serde(deserialize_with = "some_size")]
    pub output: Option<ByteSize>,
    /// Bytes of an error's text.
    #[serde(deserialize_with = "some_size")]
    pub error: Option<ByteSize>,
    /// Wall-clock time of compiling the hooks file.
    #[serde(deserialize_with = "some_duration")]
    pub compile_timeout: Option<Duration>,
    /// Memory of compiling it.
    #[serde(deserialize_with = "some_size")]
    pub compile_memory: Option<ByteSize>,
}

/// The operator's file: what holds for this server. Every key is optional.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorSettings {
    /// `MIX_ENV` for all that mix does.
    pub mix_env: String,
    /// Folders to look for programs in, before those of `PATH`.
    pub path: Vec<PathBuf>,
    /// How sites are served.
    pub nginx: NginxSettings,
    /// The most that any project's hooks may do.
    pub hooks: HookSettings<GrantCaps>,
    /// What is kept of runs.
    pub runs: RunSettings,
    /// What is kept of hooks.
    pub cache: CacheSettings,
}

/// `[cache]` in the operator's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSettings {
    /// Of how many hooks files the compiled code is kept: those that were compiled last.
    pub keep: usize,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { keep: 24 }
    }
}

/// `[runs]` in the operator's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RunSettings {
    /// How many of the latest runs of each project are kept.
    pub keep: usize,
    /// How much output of each step and hook is kept in the run's journal.
    #[serde(deserialize_with = "size")]
    pub output: ByteSize,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self { keep: 200, output: ByteSize::mib(4) }
    }
}

impl RunSettings {
    /// How much output of each step and hook is kept in the run's journal, in bytes.
    #[must_use]
    pub fn output_bytes(&self) -> usize {
        usize::try_from(self.output.as_u64()).unwrap_or(usize::MAX)
    }
}

impl Default for OperatorSettings {
    fn default() -> Self {
        Self {
            mix_env: "prod".to_owned(),
            path: Vec::new(),
            nginx: NginxSettings::default(),
            hooks: HookSettings::default(),
            runs: RunSettings::default(),
            cache: CacheSettings::default(),
        }
    }
}

/// `[nginx]` in the operator's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct NginxSettings {
    /// What sites listen on, as in nginx's `listen`.
    pub listen: Vec<String>,
    /// What sites with a certificate listen on, as in nginx's `listen`.
    pub https_listen: Vec<String>,
    /// The certificates, and the host names that they are for.
    pub certificates: Vec<Certificate>,
    /// Whether visitors come through another proxy on the way, which may speak HTTPS with them.
    pub behind_proxy: bool,
}

/// One of `[[nginx.certificates]]` in the operator's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The host names, such as `www.example.com` or `*.example.com`.
    pub domains: Vec<String>,
    /// The file of the certificate and those that it is signed by.
    pub certificate: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
}

impl Certificate {
    /// Whether it is for this host name.
    #[must_use]
    pub fn is_for(&self, domain: &str) -> bool {
        if let Some(parent) = domain.strip_prefix('.') {
            return self.is_for(parent) && self.is_for(&format!("*.{parent}"));
        }
        self.domains.iter().any(|own| match own.strip_prefix('*') {
            Some(parent) => domain.strip_suffix(parent).is_some_and(|name| !name.is_empty() && !name.contains('.')),
            None => own.eq_ignore_ascii_case(domain),
        })
    }

    fn check(&self) -> Result<()> {
        let fit = |path: &PathBuf| {
            path.is_absolute() && path.to_str().is_some_and(|path| !path.contains(['"', '\\', '$', '\n']))
        };
        if self.domains.is_empty() || !fit(&self.certificate) || !fit(&self.key) {
            bail!(
                "[[nginx.certificates]]: name the host names under `domains`, and absolute paths of files under \
                 `certificate` and `key`"
            );
        }
        Ok(())
    }
}

impl Default for NginxSettings {
    fn default() -> Self {
        let addresses = |addresses: [&str; 2]| addresses.map(str::to_owned).to_vec();
        Self {
            listen: addresses(["80", "[::]:80"]),
            https_listen: addresses(["443 ssl", "[::]:443 ssl"]),
            certificates: Vec::new(),
            behind_proxy: false,
        }
    }
}

impl NginxSettings {
    /// The certificate for a host name, if there is one.
    #[must_use]
    pub fn certificate(&self, domain: &str) -> Option<&Certificate> {
        self.certificates.iter().find(|certificate| certificate.is_for(domain))
    }
}

impl ProjectSettings {
    /// Reads the file in the project's root; one that isn't there sets nothing.
    ///
    /// # Errors
    /// When it can't be read or understood: the error says where and which keys there are.
    pub fn read(build_dir: &Path) -> Result<Self> {
        match project_file(build_dir, PROJECT_FILE, LONGEST)? {
            Some(text) => Self::parse(&text)
                .with_context(|| format!("cannot understand {}", build_dir.join(PROJECT_FILE).display())),
            None => Ok(Self::default()),
        }
    }

    /// Understands the text of the file.
    ///
    /// # Errors
    /// Says where it can't be understood, and which keys there are.
    pub fn parse(text: &str) -> Result<Self> {
        let settings: Self = toml::from_str(text)?;
        settings.health.check()?;
        settings.migrate.check()?;
        Ok(settings)
    }
}

impl Health {
    fn check(&self) -> Result<()> {
        // The init script reads it from a line in single quotes and hands it to curl.
        let fit = |c: char| c.is_ascii_graphic() && !"'\"\\{}[]".contains(c);
        if !self.path.starts_with('/') || !self.path.chars().all(fit) {
            bail!("[health] path = {:?}: it is the path of a URL, such as \"/health\"", self.path);
        }
        if self.timeout < Duration::from_secs(1) {
            bail!("[health] timeout: it is at least \"1s\"");
        }
        Ok(())
    }
}

impl OperatorSettings {
    /// Reads the operator's file; one that isn't there sets nothing.
    ///
    /// # Errors
    /// When it can't be read or understood: the error says where and which keys there are.
    pub fn read(file: &Path) -> Result<Self> {
        read(file, Self::parse)
    }

    /// Understands the text of the file.
    ///
    /// # Errors
    /// Says where it can't be understood, and which keys there are.
    pub fn parse(text: &str) -> Result<Self> {
        let settings: Self = toml::from_str(text)?;
        let fit = |address: &String| !address.is_empty() && !address.contains([';', '{', '}', '\n']);
        if settings.nginx.listen.is_empty() || !settings.nginx.listen.iter().all(fit) {
            bail!("[nginx] listen: name addresses as nginx does, such as [\"80\", \"[::]:80\"]");
        }
        let is_ssl = |address: &String| fit(address) && address.split(' ').any(|word| word == "ssl");
        if settings.nginx.https_listen.is_empty() || !settings.nginx.https_listen.iter().all(is_ssl) {
            bail!("[nginx] https_listen: name addresses as nginx does, such as [\"443 ssl\", \"[::]:443 ssl\"]");
        }
        settings.nginx.certificates.iter().try_for_each(Certificate::check)?;
        Ok(settings)
    }
}

/// No settings are longer than this, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// The text of a file in the root of the project, or `None` if there is no such file. Errors quote the
/// file to the user who pushed, who may not be allowed to read every file on this server. So it must
/// be a file of the project itself.
///
/// # Errors
/// When it is not a regular file, is longer than `longest` bytes, or can't be read.
pub fn project_file(build_dir: &Path, name: &str, longest: u64) -> Result<Option<String>> {
    let path = build_dir.join(name);
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let kind = metadata.file_type();
    if !kind.is_file() {
        let found = if kind.is_symlink() {
            "a symlink"
        } else if kind.is_dir() {
            "a folder"
        } else {
            "a FIFO or a device"
        };
        bail!("the project's file `{name}` must be a regular file, not {found}: commit the file itself");
    }
    if metadata.len() > longest {
        bail!("the project's file `{name}` has {} bytes; it may have {longest} at most", metadata.len());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(text))
}

fn read<T: Default>(file: &Path, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    if let Ok(metadata) = fs::metadata(file)
        && (!metadata.is_file() || metadata.len() > LONGEST)
    {
        bail!("{} is to be a file of settings, and no larger than 1 MB", file.display());
    }
    match fs::read_to_string(file) {
        Ok(text) => parse(&text).with_context(|| format!("cannot understand {}", file.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// A value that is written as a text, or as a number where that says enough.
struct Written<T> {
    /// What it is, with an example.
    expected: &'static str,
    of_text: fn(&str) -> Result<T, String>,
    of_number: Option<fn(u64) -> T>,
}

impl<T> de::Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.of_text)(text).map_err(|why| E::custom(format!("{text:?} is not {}: {why}", self.expected)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        let of_number = self.of_number.ok_or_else(|| E::invalid_type(de::Unexpected::Unsigned(number), &self))?;
        Ok(of_number(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Written {
        expected: "a time such as \"30s\" or \"5m\"",
        of_text: |text| {
            let span: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
            match Duration::try_from(span) {
                Ok(time) if !time.is_zero() => Ok(time),
                _ => Err("it is to be more than nothing".to_owned()),
            }
        },
        of_number: None,
    })
}

fn duration_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Written {
        expected: "a time such as \"3s\" or \"0s\"",
        of_text: |text| {
            let span: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
            Duration::try_from(span).map_err(|_| "it must not be negative".to_owned())
        },
        of_number: None,
    })
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    some_size(deserializer).map(Option::unwrap_or_default)
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn some_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ByteSize>, D::Error> {
    let size = deserializer.deserialize_any(Written {
        expected: "a size such as \"64MiB\" or \"3kB\"",
        of_text: str::parse,
        of_number: Some(ByteSize::b),
    });
    size.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Result<ProjectSettings> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join(PROJECT_FILE), text)?;
        ProjectSettings::read(folder.path())
    }

    #[test]
    fn a_file_that_is_not_there_grants_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = ProjectSettings::read(folder.path()).expect("no file is no error");
        assert_eq!(settings, ProjectSettings::default());
        assert_eq!(settings.hooks.grants, GrantSettings::default());
    }

    #[test]
    fn every_documented_key_is_read() {
        let text = "strategy = 'restart'\n[mix]\nforce_compile = true\nsession = false\n[health]\npath = '/health'\ntimeout = '1m 30s'\n[hooks]\ntimeout = '5m'\nmemory = '64MiB'\ntable = 1\nlog_lines = 2\nlog_bytes = '3kB'\noutput = '4MiB'\nerror = 512\ncompile_timeout = '2m'\ncompile_memory = '1GiB'\n[hooks.grants]\nrun = ['npm']";
        let settings = project(text).expect("it is understood");
        assert_eq!(settings.mix, MixSettings { force_compile: true, session: false });
        let health = Health { path: "/health".into(), timeout: Duration::from_secs(90), watch: Duration::from_secs(3) };
        assert_eq!(settings.health, health);
        assert_eq!(settings.hooks.grants.run.len(), 1);
        assert_eq!(settings.hooks.timeout, Some(Duration::from_secs(300)));
        assert_eq!(settings.hooks.memory, Some(ByteSize::mib(64)));
        assert_eq!(settings.hooks.log_bytes, Some(ByteSize::kb(3)));
    }

    #[test]
    fn the_operator_says_how_much_is_kept() {
        let settings =
            OperatorSettings::parse("[runs]\nkeep = 7\noutput = '64KiB'\n[cache]\nkeep = 3").expect("understood");
        assert_eq!((settings.runs.keep, settings.runs.output_bytes(), settings.cache.keep), (7, 64 * 1024, 3));
        for (text, part) in [("[runs]\nkeep = -1", "keep"), ("[runs]\noutput = 'much'", "a size such as")] {
            let error = format!("{:#}", OperatorSettings::parse(text).expect_err(text));
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn only_a_file_of_the_project_itself_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/dev/zero", folder.path().join(PROJECT_FILE)).expect("it can be made");
        let error = ProjectSettings::read(folder.path()).expect_err("it is a symlink");
        assert!(format!("{error:#}").contains("must be a regular file, not a symlink"), "{error:#}");
        let error = OperatorSettings::read(Path::new("/dev/zero")).expect_err("it is no file");
        assert!(format!("{error:#}").contains("a file of settings"), "{error:#}");
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named() {
        for (text, part) in [
            ("strategy = 'hot'", "restart"),
            ("[hooks.grants]\nrunn = []", "runn"),
            ("[hooks]\nmemori = '1MiB'", "memori"),
            ("[hooks]\nmemory = 'much'", "memory"),
            ("[hooks]\nmemory = '64 parsecs'", "\"64 parsecs\" is not a size such as \"64MiB\""),
            ("[hooks]\nmemory = -1", "a size such as"),
            ("[hooks]\ntimeout = 'long'", "long"),
            ("[hooks]\ntimeout = 5", "a time such as \"30s\""),
            ("[hooks]\ntimeout = '0s'", "more than nothing"),
            ("[hooks]\ntimeout = '-1s'", "more than nothing"),
            ("[hooks.grants]\nrun = ['']", "the name of a program"),
            ("[hooks.grants]\nrun = ['n*']", "the name of a program"),
            ("[health]\ntimeout = 'soon'", "soon"),
            ("[health]\ntimeout = '0s'", "timeout"),
            ("[health]\npath = 'health'", "path"),
            ("[health]\npath = \"/a'; rm\"", "path"),
            ("= nonsense", "line 1"),
        ] {
            let error = format!("{:#}", project(text).expect_err(text));
            assert!(error.contains(part) && error.contains(PROJECT_FILE), "{text}: {error}");
        }
    }
}
