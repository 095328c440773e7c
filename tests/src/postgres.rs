//! The sandbox's own PostgreSQL server.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::exit::at_exit;
use crate::{Output, Sandbox, http, waiting};

/// The database user of apps, who may create databases.
pub const USER: &str = "shop";

/// The password of [`USER`].
pub const PASSWORD: &str = "right-password";

/// The folder where Debian's packages install the programs of each major version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The user that runs the server if the caller is root, because PostgreSQL refuses to run as root. Debian's package
/// creates this user.
const SYSTEM_USER: &str = "postgres";

/// How many ports to try: another program can take a port before the server starts.
const TRIES: usize = 5;

/// Settings that prefer speed to durability.
const CONFIGURATION: &str = "
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = off
synchronous_commit = off
shared_buffers = 16MB
max_wal_senders = 0
wal_level = minimal
autovacuum = off
";

/// A PostgreSQL server on 127.0.0.1, with its own cluster. Dropping it stops it and removes the cluster.
pub struct Postgres {
    /// The cluster's folder, outside the sandbox's folder, which only its owner can enter.
    folder: TempDir,
    programs: PathBuf,
    /// The user id and the group id of [`SYSTEM_USER`], if the caller is root.
    run_as: Option<(u32, u32)>,
    /// The sandbox's variables: they make the server a process of the sandbox, so that it is stopped with it.
    variables: Vec<(&'static str, OsString)>,
    port: u16,
    server: Option<Child>,
    kept: bool,
}

impl Postgres {
    /// Makes a cluster, and starts a server for it on a free port.
    pub fn start(sandbox: &Sandbox) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("gatling-postgres-").tempdir()?;
        let run_as = if geteuid().is_root() { Some(ids(SYSTEM_USER)?) } else { None };
        if let Some((user, group)) = run_as {
            chown(folder.path(), Some(user), Some(group))?;
        }
        let variables = sandbox.variables().into_iter().collect();
        let mut postgres =
            Self { folder, programs: programs()?, run_as, variables, port: 0, server: None, kept: false };
        postgres.make_cluster()?;
        for _ in 1..TRIES {
            postgres.port = http::free_port()?;
            if postgres.start_again().is_ok() {
                return Ok(postgres);
            }
        }
        postgres.port = http::free_port()?;
        postgres.start_again()?;
        Ok(postgres)
    }

    /// A server for several tests to share, in a sandbox that they share.
    pub fn shared(sandbox: &'static Sandbox) -> Result<Self> {
        let postgres = Self::start(sandbox)?;
        let folder = postgres.folder.path().to_owned();
        // An error is ignored.
        at_exit(move || _ = fs::remove_dir_all(folder));
        Ok(postgres)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of `database`, for an app's `DATABASE_URL`.
    pub fn url(&self, database: &str) -> String {
        format!("ecto://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// The result of `sql` in `database`: one line per row, with `|` between columns. The database `postgres` always
    /// exists.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let url = self.url(database).replacen("ecto:", "postgresql:", 1);
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        psql.args(["--dbname", &url, "--command", sql]);
        let output = Output::of(&mut psql)?.expect_success().with_context(|| format!("running {sql:?}"))?;
        Ok(output.stdout.trim_end().to_owned())
    }

    /// Stops it: apps lose their connections and cannot connect.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut server) = self.server.take() {
            // A "fast shutdown": it does not wait for clients.
            kill_process(Pid::from_child(&server), Signal::INT).context("stopping PostgreSQL")?;
            server.wait()?;
        }
        Ok(())
    }

    /// Starts it again, on the same port and with the same data.
    pub fn start_again(&mut self) -> Result<()> {
        ensure!(self.server.is_none(), "PostgreSQL is already running");
        let path = self.folder.path().join("log");
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        let mut server = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&path)?)
            .spawn()
            .context("starting postgres")?;
        let started = waiting::wait_for("PostgreSQL to start", || {
            let log = fs::read_to_string(&path).unwrap_or_default();
            let ended = server.try_wait().is_ok_and(|status| status.is_some());
            (ended || log.contains("ready to accept connections")).then_some(!ended)
        });
        self.server = Some(server);
        if !started? {
            self.server = None;
            bail!("PostgreSQL did not start: {}", fs::read_to_string(&path)?);
        }
        Ok(())
    }

    /// Leaves it running and keeps its cluster when it is dropped. Returns its process id, if it is running, and the
    /// folder of the cluster.
    pub fn keep(&mut self) -> (Option<u32>, &Path) {
        self.kept = true;
        self.folder.disable_cleanup(true);
        (self.server.as_ref().map(Child::id), self.folder.path())
    }

    /// Starts it if it was stopped.
    pub(crate) fn ensure_runs(&mut self) -> Result<()> {
        if self.server.is_some() { Ok(()) } else { self.start_again() }
    }

    fn make_cluster(&self) -> Result<()> {
        let password = self.folder.path().join("password");
        fs::write(&password, PASSWORD)?;
        let mut initdb = self.program("initdb");
        initdb
            .args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--username", USER, "--auth=scram-sha-256", "--pwfile"])
            .arg(password)
            .arg(self.data());
        Output::of(&mut initdb)?.expect_success().context("making a cluster")?;
        let sockets = format!("unix_socket_directories = '{}'\n", self.folder.path().display());
        fs::write(self.data().join("postgresql.conf"), format!("{CONFIGURATION}{sockets}"))?;
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path()).envs(self.variables.iter().cloned());
        if let Some((user, group)) = self.run_as {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // An error means that it has already ended.
        _ = self.stop();
    }
}

/// The folder with the programs of the newest PostgreSQL on this machine.
pub fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| ["initdb", "postgres"].iter().all(|name| bin(*version).join(name).is_file()))
        .max();
    newest.map(bin).context("there is no PostgreSQL server: `cargo xtask setup` installs it")
}

fn bin(version: u32) -> PathBuf {
    Path::new(VERSIONS).join(version.to_string()).join("bin")
}

fn ids(user: &str) -> Result<(u32, u32)> {
    let id = |option: &str| -> Result<u32> {
        let output = Output::of(Command::new("id").args([option, user]))?.expect_success()?;
        Ok(output.stdout.trim_end().parse()?)
    };
    Ok((id("--user")?, id("--group")?))
}
