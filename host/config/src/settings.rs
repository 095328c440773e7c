//! The settings: the project's `gatling.toml` and the operator's file.

mod operator;
mod project;
mod values;

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use serde::Deserialize;

pub use gatling_grants::PROJECT_FILE;
pub use operator::{CacheSettings, Certificate, NginxSettings, OperatorSettings, RunSettings};
pub use project::{Health, Migrate, MixSettings, ProjectSettings, SiteSettings, Strategy};
use values::{some_duration, some_size};

/// `[hooks]`: the project's settings, or in the operator's file the limits for the hooks of all projects. Missing
/// keys have defaults.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default, bound(deserialize = "G: Deserialize<'de> + Default"))]
pub struct HookSettings<G> {
    /// What hooks may do beyond reading their env record and logging.
    pub grants: G,
    /// Wall-clock time of a hook, including the time that it waits for programs and servers.
    #[serde(deserialize_with = "some_duration")]
    pub timeout: Option<Duration>,
    /// Linear memory.
    #[serde(deserialize_with = "some_size")]
    pub memory: Option<ByteSize>,
    /// Elements of tables.
    pub table: Option<usize>,
    /// Log lines per call.
    pub log_lines: Option<usize>,
    /// Log size per call.
    #[serde(deserialize_with = "some_size")]
    pub log_bytes: Option<ByteSize>,
    /// How much of a program's output is returned to the hook.
    #[serde(deserialize_with = "some_size")]
    pub output: Option<ByteSize>,
    /// How much of an error's text is shown.
    #[serde(deserialize_with = "some_size")]
    pub error: Option<ByteSize>,
    /// Wall-clock time for compiling the hooks file.
    #[serde(deserialize_with = "some_duration")]
    pub compile_timeout: Option<Duration>,
    /// Memory for compiling the hooks file.
    #[serde(deserialize_with = "some_size")]
    pub compile_memory: Option<ByteSize>,
}

/// The largest allowed file of settings, in bytes.
const MAX_LEN: u64 = 1024 * 1024;

/// Reads a file in the root of the project. Returns `None` if the file does not exist. Errors show parts of the
/// file to the user who pushed, who may not be allowed to read other files on this server. So it must not be a
/// symlink.
///
/// # Errors
/// When it is not a regular file, is longer than `max_len` bytes, or can't be read.
pub fn project_file(build_dir: &Path, name: &str, max_len: u64) -> Result<Option<String>> {
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
    if metadata.len() > max_len {
        bail!("the project's file `{name}` has {} bytes; it may have at most {max_len}", metadata.len());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use gatling_grants::GrantSettings;

    use super::*;

    fn project(text: &str) -> Result<ProjectSettings> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join(PROJECT_FILE), text)?;
        ProjectSettings::read(folder.path())
    }

    #[test]
    fn a_missing_file_grants_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = ProjectSettings::read(folder.path()).expect("a missing file is not an error");
        assert_eq!(settings, ProjectSettings::default());
        assert_eq!(settings.hooks.grants, GrantSettings::default());
    }

    #[test]
    fn every_documented_key_is_read() {
        let text = "strategy = 'restart'\ndrain_timeout = '5s'\n[mix]\nforce_compile = true\nsession = false\n[health]\npath = '/health'\nstatus = 200\nsuccesses = 3\ntimeout = '1m 30s'\nsoak = '0s'\nsoak_errors = 50\n[hooks]\ntimeout = '5m'\nmemory = '64MiB'\ntable = 1\nlog_lines = 2\nlog_bytes = '3kB'\noutput = '4MiB'\nerror = 512\ncompile_timeout = '2m'\ncompile_memory = '1GiB'\n[hooks.grants]\nrun = ['npm']";
        let settings = project(text).expect("it is understood");
        assert_eq!(settings.mix, MixSettings { force_compile: true, session: false });
        assert_eq!(settings.strategy, Some(Strategy::Restart));
        assert_eq!(settings.drain_timeout(), Duration::from_secs(5));
        let health = Health {
            path: "/health".into(),
            status: Some(200),
            successes: 3,
            timeout: Duration::from_secs(90),
            watch: Duration::from_secs(3),
            soak: Duration::ZERO,
            soak_errors: 50,
        };
        assert_eq!(settings.health, health);
        assert_eq!(settings.hooks.grants.run.len(), 1);
        assert_eq!(settings.hooks.timeout, Some(Duration::from_secs(300)));
        assert_eq!(settings.hooks.memory, Some(ByteSize::mib(64)));
        assert_eq!(settings.hooks.log_bytes, Some(ByteSize::kb(3)));
    }

    #[test]
    fn the_operators_file_sets_how_much_is_kept() {
        let settings =
            OperatorSettings::parse("[runs]\nkeep = 7\noutput = '64KiB'\n[cache]\nkeep = 3").expect("understood");
        assert_eq!((settings.runs.keep, settings.runs.output_bytes(), settings.cache.keep), (7, 64 * 1024, 3));
        for (text, part) in [("[runs]\nkeep = -1", "keep"), ("[runs]\noutput = 'much'", "a size such as")] {
            let error = format!("{:#}", OperatorSettings::parse(text).expect_err(text));
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn settings_are_only_read_from_regular_files() {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/dev/zero", folder.path().join(PROJECT_FILE)).expect("it can be made");
        let error = ProjectSettings::read(folder.path()).expect_err("it is a symlink");
        assert!(format!("{error:#}").contains("must be a regular file, not a symlink"), "{error:#}");
        let error = OperatorSettings::read(Path::new("/dev/zero")).expect_err("it is not a file");
        assert!(format!("{error:#}").contains("must be a regular file of at most 1 MB"), "{error:#}");
    }

    #[test]
    fn errors_name_the_wrong_key_or_value() {
        for (text, part) in [
            ("strategy = 'warm'", "restart"),
            ("[hooks.grants]\nrunn = []", "runn"),
            ("[hooks]\nmemori = '1MiB'", "memori"),
            ("[hooks]\nmemory = 'much'", "memory"),
            ("[hooks]\nmemory = '64 parsecs'", "\"64 parsecs\" is not a size such as \"64MiB\""),
            ("[hooks]\nmemory = -1", "a size such as"),
            ("[hooks]\ntimeout = 'long'", "long"),
            ("[hooks]\ntimeout = 5", "a time such as \"30s\""),
            ("[hooks]\ntimeout = '0s'", "it must be greater than zero"),
            ("[hooks]\ntimeout = '-1s'", "it must be greater than zero"),
            ("[hooks.grants]\nrun = ['']", "the exact name of a program"),
            ("[hooks.grants]\nrun = ['n*']", "the exact name of a program"),
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
