//! A self-signed certificate for tests.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{Output, Sandbox};

/// A self-signed certificate and its key, in the sandbox.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes a certificate for `hosts` that is valid for 30 days from now.
    pub fn new(sandbox: &Sandbox, hosts: &[&str]) -> Result<Self> {
        Self::valid_for(sandbox, hosts, 30)
    }

    /// Makes a certificate for `hosts` that is valid for `days` from now.
    pub fn valid_for(sandbox: &Sandbox, hosts: &[&str], days: u32) -> Result<Self> {
        let name = hosts.first().context("a certificate is for at least one host")?;
        let folder = sandbox.root().join("certificates");
        fs::create_dir_all(&folder)?;
        let this = Self { certificate: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) };
        let names: Vec<String> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
        let mut openssl = Command::new("openssl");
        openssl
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-batch"])
            .args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName={}", names.join(","))])
            .args(["-days", &days.to_string(), "-out"])
            .arg(&this.certificate)
            .arg("-keyout")
            .arg(&this.key);
        Output::of(&mut openssl)?.expect_success().context("making a certificate")?;
        Ok(this)
    }

    /// The hash of its public key, for a browser's list of trusted keys.
    pub(crate) fn key_hash(&self) -> Result<String> {
        let script = "openssl pkey -in \"$1\" -pubout -outform der | openssl dgst -sha256 -binary | openssl base64";
        let mut sh = Command::new("sh");
        let output = Output::of(sh.args(["-c", script, "sh"]).arg(&self.key))?.expect_success()?;
        Ok(output.stdout.trim_end().to_owned())
    }
}
