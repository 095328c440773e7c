//! A machine of its own, with a real systemd, for tests of services.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::{Output, waiting};

const BOOT: &str = include_str!("machine/boot.sh");

/// The folder of the machine in which it sees a folder of this one.
pub const SHARED: &str = "/shared";

/// A machine in namespaces of its own. It boots a systemd, has a network of its own, and sees the files of this machine; only it
/// sees what it changes.
#[derive(Debug)]
pub struct Machine {
    folder: TempDir,
    /// The process that keeps the machine's disk. It ends when its standard input is closed.
    disk: Child,
    /// The parent of the machine's process 1, while it runs.
    running: Option<Child>,
    cgroup: PathBuf,
    shared: PathBuf,
}

impl Machine {
    /// A machine that has booted, and sees `shared` as [`SHARED`]. None if this machine does not allow it: that needs root, a systemd, and control groups.
    pub fn start(shared: &Path) -> Result<Option<Self>> {
        let Some(cgroup) = cgroup() else {
            eprintln!("SKIPPED: this needs root's rights, a systemd, and version 2 of control groups");
            return Ok(None);
        };
        let folder = tempfile::Builder::new().prefix("gatling-machine-").tempdir()?;
        fs::create_dir(folder.path().join("disk"))?;
        fs::write(folder.path().join("boot.sh"), BOOT)?;
        let disk = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-ec"])
            .arg("mount -t tmpfs tmpfs \"$0/disk\"; touch \"$0/mounted\"; exec cat")
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut machine = Self { folder, disk, running: None, cgroup, shared: shared.to_owned() };
        let mounted = machine.folder.path().join("mounted");
        waiting::wait_for("the machine's disk", || mounted.exists().then_some(()))?;
        machine.boot()?;
        Ok(Some(machine))
    }

    /// Boots the machine, and waits until it has.
    pub fn boot(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let log = fs::File::create(folder.join("boot.log"))?;
        // A control group of its own, which its systemd can divide.
        let script = "echo $$ >\"$1/cgroup.procs\"
            exec nsenter --mount --target \"$2\" unshare --pid --fork --kill-child --mount --uts --ipc --cgroup --net \
                sh \"$0/boot.sh\" \"$0/disk\" \"$3\"";
        let mut command = Command::new("sh");
        command.args(["-ec", script]).arg(folder).arg(&self.cgroup).arg(self.disk.id().to_string()).arg(&self.shared);
        let command = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.running = Some(command.spawn()?);
        let has_booted = || {
            let state = self.run("systemctl is-system-running").ok()?;
            matches!(state.stdout.trim(), "running" | "degraded").then_some(())
        };
        waiting::wait_for("systemd", has_booted)
            .with_context(|| fs::read_to_string(folder.join("boot.log")).unwrap_or_default())
    }

    /// Ends everything that runs on the machine, at once.
    pub fn pull_the_plug(&mut self) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        // If process 1 is killed, the kernel kills all others.
        if let Some(first) = child_of(running.id()) {
            kill_process(first, Signal::KILL)?;
        }
        running.wait()?;
        Ok(())
    }

    /// Runs a shell script there, as root.
    pub fn run(&self, script: &str) -> Result<Output> {
        Output::of(self.command()?.args(["bash", "-c", script]))
    }

    /// Runs a shell script there, as root, and returns what it prints. It must succeed.
    pub fn get(&self, script: &str) -> Result<String> {
        let output = self.run(script)?.expect_success().with_context(|| script.to_owned())?;
        Ok(output.stdout.trim_end().to_owned())
    }

    /// A command that runs the program that is its next argument there, as root.
    pub fn command(&self) -> Result<Command> {
        let Some(first) = self.running.as_ref().and_then(|running| child_of(running.id())) else {
            bail!("the machine does not run");
        };
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(first.as_raw_nonzero().to_string());
        command.args(["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd=/"]);
        command.args(["env", "--ignore-environment", "LANG=C.UTF-8", "HOME=/root"]);
        command.arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        Ok(command)
    }

    /// Does something in the machine's network.
    pub fn in_its_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let Some(first) = self.running.as_ref().and_then(|running| child_of(running.id())) else {
            bail!("the machine does not run");
        };
        let network = fs::File::open(format!("/proc/{}/ns/net", first.as_raw_nonzero()))?;
        // Only this thread, and those that it starts.
        thread::scope(|scope| {
            let thread = scope.spawn(move || -> Result<T> {
                let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(network.as_fd(), kind)?;
                Ok(work())
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        _ = self.pull_the_plug();
        _ = self.disk.kill();
        _ = self.disk.wait();
        _ = remove_cgroup(&self.cgroup);
    }
}

/// A new control group, if this machine can have a systemd in it.
fn cgroup() -> Option<PathBuf> {
    if !geteuid().is_root() || !Path::new("/lib/systemd/systemd").exists() {
        return None;
    }
    let mounts = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    let mount = mounts.into_iter().find(|folder| folder.join("cgroup.procs").exists())?;
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
    let cgroup = mount.join(format!("gatling-machine-{}-{}", std::process::id(), time.as_nanos()));
    fs::create_dir(&cgroup).ok()?;
    Some(cgroup)
}

/// Removes a control group in which nothing runs any more, with those in it.
fn remove_cgroup(cgroup: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    fs::remove_dir(cgroup)
}

fn child_of(parent: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}
