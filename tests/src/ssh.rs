//! The sandbox's own ssh server. The current user can log in with a key.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use crate::{Output, Sandbox, http, waiting};

/// The folder that root's sshd uses as the root of its unprivileged part. Debian creates it when it starts the
/// system's sshd, which may never have happened.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// How many ports to try: another program can take a port before sshd starts.
const TRIES: usize = 5;

/// An sshd on 127.0.0.1. Dropping it stops it.
#[derive(Debug)]
pub struct Sshd {
    child: Child,
    folder: PathBuf,
    port: u16,
    user: String,
    kept: bool,
}

impl Sshd {
    /// Makes keys, and starts sshd on a free port.
    pub fn start(sandbox: &Sandbox) -> Result<Self> {
        let folder = sandbox.root().join("ssh");
        DirBuilder::new().mode(0o700).create(&folder)?;
        for key in ["host_key", "key"] {
            generate_key(&folder.join(key))?;
        }
        fs::copy(folder.join("key.pub"), folder.join("authorized_keys"))?;
        if geteuid().is_root() {
            DirBuilder::new().mode(0o755).recursive(true).create(PRIVILEGE_SEPARATION)?;
        }
        for _ in 1..TRIES {
            if let Ok(sshd) = Self::try_start(sandbox, &folder) {
                return Ok(sshd);
            }
        }
        Self::try_start(sandbox, &folder)
    }

    fn try_start(sandbox: &Sandbox, folder: &Path) -> Result<Self> {
        let port = http::free_port()?;
        let config = folder.join("sshd_config");
        fs::write(&config, configuration(folder, port) + &session_variables(sandbox))?;
        let host_key = fs::read_to_string(folder.join("host_key.pub"))?;
        fs::write(folder.join("known_hosts"), format!("[127.0.0.1]:{port} {host_key}"))?;
        let log = fs::File::create(folder.join("log"))?;
        let child = Command::new(program()?)
            .args(["-D", "-e", "-f"])
            .arg(&config)
            // Sessions get the sandbox's variables only through ssh.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting sshd")?;
        let mut sshd = Self { child, folder: folder.to_owned(), port, user: user()?, kept: false };
        let started = waiting::wait_for("sshd to listen", || {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let ended = sshd.child.try_wait().is_ok_and(|status| status.is_some());
            (ended || log.contains(&format!("Server listening on 127.0.0.1 port {port}."))).then_some(!ended)
        })?;
        if !started {
            bail!("sshd did not start: {}", fs::read_to_string(folder.join("log"))?);
        }
        Ok(sshd)
    }

    /// The URL of a folder on this server, for git.
    pub fn url(&self, path: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, path.display())
    }

    /// Leaves it running when it is dropped. Returns its process id.
    pub fn keep(&mut self) -> u32 {
        self.kept = true;
        self.child.id()
    }

    /// The value of `GIT_SSH_COMMAND`: an ssh with a key that reads no user's settings.
    pub fn client(&self) -> String {
        let folder = self.folder.display();
        format!(
            "ssh -F none -i {folder}/key -o IdentitiesOnly=yes -o BatchMode=yes \
             -o StrictHostKeyChecking=yes -o UserKnownHostsFile={folder}/known_hosts"
        )
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // An error means that it has already ended.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
AuthenticationMethods publickey
PermitRootLogin prohibit-password
# The sandbox is below a folder that every user can write to.
StrictModes no
UsePAM no
"
    )
}

/// The setting that gives every session the variables that were added to the sandbox.
fn session_variables(sandbox: &Sandbox) -> String {
    let quoted = |text: &OsStr| text.to_string_lossy().replace('\\', r"\\").replace('"', "\\\"");
    let variables = sandbox.added_variables().iter();
    let words: String = variables.map(|(name, value)| format!(" \"{}={}\"", quoted(name), quoted(value))).collect();
    if words.is_empty() { words } else { format!("SetEnv{words}\n") }
}

/// The full path of sshd. sshd restarts itself for every connection, and needs the full path for that.
fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .map(|folder| folder.join("sshd"))
        .find(|program| program.is_file())
        .context("there is no sshd: `cargo xtask setup` installs it")
}

fn generate_key(path: &Path) -> Result<()> {
    Output::of(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path))?
        .expect_success()
        .context("making a key")?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

fn user() -> Result<String> {
    let name = Output::of(Command::new("id").arg("--user").arg("--name"))?.expect_success()?.stdout;
    Ok(name.trim_end().to_owned())
}
