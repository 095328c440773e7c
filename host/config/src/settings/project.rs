//! The project's `gatling.toml`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use gatling_grants::GrantSettings;
use serde::Deserialize;

use super::values::{duration, duration_or_zero, size, some_duration};
use super::{HookSettings, MAX_LEN, PROJECT_FILE, project_file};

/// The project's `gatling.toml`: the settings of its authors. Every key is optional.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectSettings {
    /// How `upgrade_service` switches to the new release; none for the best that the server and the project allow.
    pub strategy: Option<Strategy>,
    /// How long the old release may take to finish the requests that it has, in whole seconds.
    #[serde(deserialize_with = "some_duration")]
    pub drain_timeout: Option<Duration>,
    /// How long a step may take, if not [`ProjectSettings::DEFAULT_STEP_TIMEOUT`].
    #[serde(deserialize_with = "some_duration")]
    pub step_timeout: Option<Duration>,
    /// How Gatling runs mix.
    pub mix: MixSettings,
    /// How Gatling checks that the app is healthy.
    pub health: Health,
    /// How the database is migrated.
    pub migrate: Migrate,
    /// How nginx serves the project.
    pub nginx: SiteSettings,
    /// What hooks may do.
    pub hooks: HookSettings<GrantSettings>,
}

impl ProjectSettings {
    /// How long a step may take by default.
    pub const DEFAULT_STEP_TIMEOUT: Duration = Duration::from_secs(60 * 60);

    /// How long the old release may take to finish its requests by default.
    pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

    /// How long the old release may take to finish the requests that it has.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout.unwrap_or(Self::DEFAULT_DRAIN_TIMEOUT)
    }

    /// How long a step may take.
    #[must_use]
    pub fn step_timeout(&self) -> Duration {
        self.step_timeout.unwrap_or(Self::DEFAULT_STEP_TIMEOUT)
    }
}

/// How `upgrade_service` switches to the new release.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Start the new release beside the old one, have nginx pass requests to it once it is healthy, and stop the old one
    /// when it has finished its requests.
    BlueGreen,
    /// Have the running release load the code of the new one, in the same process. Where that is impossible, another
    /// strategy is used.
    Hot,
    /// Stop the old release, start the new one, and put the old one back if it doesn't answer.
    Restart,
}

impl Strategy {
    /// The strategy's name, as in `gatling.toml` and in the env record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BlueGreen => "blue-green",
            Self::Hot => "hot",
            Self::Restart => "restart",
        }
    }
}

/// `[mix]` in the project's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct MixSettings {
    /// Compile everything each time: `mix compile --force`.
    pub force_compile: bool,
    /// Run all tasks in one mix process, one after the other.
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
    /// `true`: with the release's own migration program, or otherwise with Ecto. `false`: not at all.
    Switched(bool),
    /// Run this command, in the release's folder.
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
                bail!("migrate: the command must not be empty: write it as a list, such as [\"bin/migrate\"]")
            }
            _ => Ok(()),
        }
    }
}

/// `[nginx]` in the project's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct SiteSettings {
    /// The largest allowed body of a request.
    #[serde(deserialize_with = "size")]
    pub body_size: ByteSize,
}

impl Default for SiteSettings {
    fn default() -> Self {
        // The default of Plug.Parsers.
        Self { body_size: ByteSize::b(8_000_000) }
    }
}

/// `[health]` in the project's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Health {
    /// The path to request.
    pub path: String,
    /// The status that means that the app is healthy. By default, every status below 500.
    pub status: Option<u16>,
    /// How many good answers in a row it takes, half a second apart.
    pub successes: u32,
    /// How long a new release may take until its first good answer, in whole seconds.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long it must keep running after that, in whole seconds: an app can answer once and crash.
    #[serde(deserialize_with = "duration_or_zero")]
    pub watch: Duration,
    /// How long it is watched after it has begun to serve visitors, while the old release can still take over again.
    #[serde(deserialize_with = "duration_or_zero")]
    pub soak: Duration,
    /// How many percent of the answers may be errors (5xx) meanwhile, if the app says what it answers. At least five
    /// errors are accepted.
    pub soak_errors: u8,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            status: None,
            successes: 1,
            timeout: Duration::from_secs(60),
            watch: Duration::from_secs(3),
            soak: Duration::from_secs(10),
            soak_errors: 10,
        }
    }
}

impl ProjectSettings {
    /// Reads the file in the project's root. A missing file sets nothing.
    ///
    /// # Errors
    /// When it can't be read or parsed. The error names the position and the valid keys.
    pub fn read(build_dir: &Path) -> Result<Self> {
        match project_file(build_dir, PROJECT_FILE, MAX_LEN)? {
            Some(text) => {
                Self::parse(&text).with_context(|| format!("cannot parse {}", build_dir.join(PROJECT_FILE).display()))
            }
            None => Ok(Self::default()),
        }
    }

    /// Parses the text of the file.
    ///
    /// # Errors
    /// When it can't be parsed. The error names the position and the valid keys.
    pub fn parse(text: &str) -> Result<Self> {
        let settings: Self = toml::from_str(text)?;
        settings.health.check()?;
        settings.migrate.check()?;
        Ok(settings)
    }
}

impl Health {
    fn check(&self) -> Result<()> {
        // The init script reads it from a line in single quotes and passes it to curl.
        let is_valid = |c: char| c.is_ascii_graphic() && !"'\"\\{}[]".contains(c);
        if !self.path.starts_with('/') || !self.path.chars().all(is_valid) {
            bail!("[health] path = {:?}: it must be the path of a URL, such as \"/health\"", self.path);
        }
        if self.timeout < Duration::from_secs(1) {
            bail!("[health] timeout: it must be at least \"1s\"");
        }
        if let Some(status) = self.status.filter(|status| !(200..500).contains(status)) {
            bail!("[health] status = {status}: it must be a status from 200 to 499");
        }
        if self.soak_errors > 100 {
            bail!("[health] soak_errors = {}: it must be a percentage from 0 to 100", self.soak_errors);
        }
        if !(1..=100).contains(&self.successes) {
            bail!("[health] successes = {}: it must be a number from 1 to 100", self.successes);
        }
        Ok(())
    }
}
