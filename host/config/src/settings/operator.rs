//! The operator's file.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use gatling_grants::GrantCaps;
use serde::Deserialize;

use super::values::size;
use super::{HookSettings, MAX_LEN};

/// The operator's file: the settings of this server. Every key is optional.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorSettings {
    /// `MIX_ENV` for all mix tasks.
    pub mix_env: String,
    /// Folders to search for programs, before those of `PATH`.
    pub path: Vec<PathBuf>,
    /// How sites are served.
    pub nginx: NginxSettings,
    /// The limits and caps for the hooks of all projects.
    pub hooks: HookSettings<GrantCaps>,
    /// How much is kept of past runs.
    pub runs: RunSettings,
    /// How much is kept in the cache of compiled hooks.
    pub cache: CacheSettings,
}

/// `[cache]` in the operator's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSettings {
    /// For how many hooks files the compiled code is kept. The oldest are removed.
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
    /// How many runs of each project are kept. The oldest are removed.
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
    /// The addresses that sites listen on, in the syntax of nginx's `listen`.
    pub listen: Vec<String>,
    /// The addresses that sites with a certificate listen on, in the syntax of nginx's `listen`.
    pub https_listen: Vec<String>,
    /// The certificates, with their host names.
    pub certificates: Vec<Certificate>,
    /// Whether visitors come through another proxy, which may handle HTTPS.
    pub behind_proxy: bool,
    /// The addresses and networks whose visitors get to an app during its maintenance.
    pub maintenance_allow: Vec<String>,
}

/// One of `[[nginx.certificates]]` in the operator's file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The host names, such as `www.example.com` or `*.example.com`.
    pub domains: Vec<String>,
    /// The file with the certificate chain.
    pub certificate: PathBuf,
    /// The file with its key.
    pub key: PathBuf,
}

impl Certificate {
    /// Whether it is valid for this host name.
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
        let is_valid = |path: &PathBuf| {
            path.is_absolute() && path.to_str().is_some_and(|path| !path.contains(['"', '\\', '$', '\n']))
        };
        if self.domains.is_empty() || !is_valid(&self.certificate) || !is_valid(&self.key) {
            bail!(
                "[[nginx.certificates]]: `domains` must list host names, and `certificate` and `key` must be absolute \
                 paths of files"
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
            maintenance_allow: Vec::new(),
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

impl OperatorSettings {
    /// Reads the operator's file. A missing file sets nothing.
    ///
    /// # Errors
    /// When it can't be read or parsed. The error names the position and the valid keys.
    pub fn read(file: &Path) -> Result<Self> {
        read(file, Self::parse)
    }

    /// Parses the text of the file.
    ///
    /// # Errors
    /// When it can't be parsed. The error names the position and the valid keys.
    pub fn parse(text: &str) -> Result<Self> {
        let settings: Self = toml::from_str(text)?;
        let is_valid = |address: &String| !address.is_empty() && !address.contains([';', '{', '}', '\n']);
        if settings.nginx.listen.is_empty() || !settings.nginx.listen.iter().all(is_valid) {
            bail!("[nginx] listen: list addresses in nginx's syntax, such as [\"80\", \"[::]:80\"]");
        }
        let is_ssl = |address: &String| is_valid(address) && address.split(' ').any(|word| word == "ssl");
        if settings.nginx.https_listen.is_empty() || !settings.nginx.https_listen.iter().all(is_ssl) {
            bail!(
                "[nginx] https_listen: list addresses in nginx's syntax, with `ssl`, such as [\"443 ssl\", \"[::]:443 ssl\"]"
            );
        }
        settings.nginx.certificates.iter().try_for_each(Certificate::check)?;
        if let Some(wrong) = settings.nginx.maintenance_allow.iter().find(|text| !is_network(text)) {
            bail!(
                "[nginx] maintenance_allow: {wrong:?} is neither an address nor a network: write for example \
                 \"203.0.113.5\" or \"2001:db8::/32\""
            );
        }
        Ok(settings)
    }
}

/// Whether this is an IP address, or a network such as `10.0.0.0/8`.
fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}

fn read<T: Default>(file: &Path, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    if let Ok(metadata) = fs::metadata(file)
        && (!metadata.is_file() || metadata.len() > MAX_LEN)
    {
        bail!("{} must be a regular file of at most 1 MB", file.display());
    }
    match fs::read_to_string(file) {
        Ok(text) => parse(&text).with_context(|| format!("cannot parse {}", file.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}
