//! A fault at every point of a run that has to do with the service: the worker is killed, the plug is pulled, or a write fails.
//! After each of them some version serves, in a unit, and the next push deploys.
//!
//! `GATLING_FAULTS=all` tries every kind of fault at every point that is about the service. Otherwise every fourth point gets one
//! kind, in turn.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gatling_tests::machine::SHARED;
use gatling_tests::{HOST, Sandbox, http, stand_in, waiting};

use crate::{Server, push};

const KINDS: [&str; 4] = ["kill", "stop", "enospc", "eio"];

/// How long visitors may get no answer after a fault.
const OUTAGE: Duration = Duration::from_secs(10);

/// A machine whose deployments take less than a second.
pub(crate) struct Stage<'s> {
    pub(crate) server: Server<'s>,
    folder: PathBuf,
    /// The number of the version that was pushed last.
    pub(crate) version: u32,
}

impl<'s> Stage<'s> {
    pub(crate) fn new(sandbox: &'s Sandbox) -> Option<Self> {
        stand_in::write_programs(&sandbox.root().join("bin"), &format!("{SHARED}/stand-in-app")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_stand-in-app"), sandbox.root().join("stand-in-app")).unwrap();
        let hello = sandbox.empty_project("hello");
        stand_in::write_project(&hello).unwrap();
        let server = Server::with(sandbox, hello)?;
        server
            .machine
            .get(&format!("mkdir /etc/gatling; echo 'path = [\"{SHARED}/bin\"]' >/etc/gatling/gatling.toml"))
            .unwrap();
        let folder = sandbox.root().join("faults");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        Some(Self { server, folder, version: 0 })
    }

    pub(crate) fn next_version(&mut self) -> Result<String> {
        self.version += 1;
        let version = format!("0.{}.0", self.version);
        stand_in::set_version(&self.server.hello, &version, self.version)?;
        Ok(version)
    }

    /// Pushes the next version, which must then serve, and leave nothing behind.
    pub(crate) fn deploy(&mut self) -> Result<()> {
        let version = self.next_version()?;
        let output = self.server.push()?;
        ensure!(output.says(&format!("hello {version} is serving")), "{output:?}");
        self.wait_for(&[&version])?;
        let status = self.server.as_deploy("gatling status hello");
        ensure!(status.says(&format!("hello {version} is serving")), "{status:?}");
        let tidy = || {
            let left =
                self.server.machine.get("find /etc /home/deploy/deployments -name '*.gatling-new' -o -name '*.new'");
            let runs = self
                .server
                .machine
                .get("pgrep -x stand-in-app | wc -l; cd /home/deploy/deployments/hello/run; ls blue green | wc -l");
            (left.is_ok_and(|left| left.is_empty()) && runs.is_ok_and(|runs| runs == "1\n1")).then_some(())
        };
        waiting::wait_for("a tidy server", tidy)?;
        let unit = self.server.machine.get("sed -n 's|^0::.*/||p' /proc/$(pgrep -x stand-in-app)/cgroup")?;
        ensure!(unit.starts_with("hello@"), "the release runs in {unit:?}");
        Ok(())
    }

    pub(crate) fn served(&self) -> Option<String> {
        let answer = self.server.machine.in_its_network(|| http::get(80, HOST, "/")).ok()?;
        let (status, body) = answer.ok()?;
        (status == 200).then(|| body.trim().trim_start_matches("hello ").to_owned())
    }

    /// Waits until visitors get one of these versions, as long as an outage may take.
    pub(crate) fn wait_for(&self, versions: &[&str]) -> Result<()> {
        let begun = Instant::now();
        loop {
            let served = self.served();
            if served.as_ref().is_some_and(|served| versions.contains(&served.as_str())) {
                return Ok(());
            }
            if begun.elapsed() > OUTAGE {
                bail!("visitors get {served:?}, not one of {versions:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Runs a command of the user who deploys, with a fault.
    fn fail_at(&mut self, command: &str, number: usize, kind: &str) -> Result<()> {
        let script = format!("export GATLING_FAULT={number}:{kind}:{SHARED}/faults; {command}");
        let reached = self.folder.join("reached");
        _ = fs::remove_file(&reached);
        let mut run = self.server.machine.command()?;
        run.args(["su", "-l", "deploy", "-c", &script]);
        let mut run =
            run.stdout(fs::File::create(self.folder.join("output"))?).stderr(fs::File::create("/dev/null")?).spawn()?;
        waiting::wait_for("the run", || {
            (reached.exists() || run.try_wait().is_ok_and(|ended| ended.is_some())).then_some(())
        })?;
        if reached.exists() {
            self.server.reboot();
        }
        run.wait()?;
        Ok(())
    }

    /// The numbers and the names of the points of a command to try.
    fn points(&self, command: &str) -> Result<Vec<(usize, String)>> {
        let list = self.folder.join("points");
        _ = fs::remove_file(&list);
        let output = self.server.as_deploy(&format!("export GATLING_FAULT=0:list:{SHARED}/faults; {command}"));
        ensure!(output.status.success(), "{output:?}");
        let text = fs::read_to_string(&list)?;
        let all = text.lines().map(str::to_owned).enumerate();
        let is_about_the_service = |name: &str| {
            ["/etc/systemd", "systemctl", "/units", "init.d", "init-script", "service hello"]
                .iter()
                .any(|word| name.contains(word))
        };
        let points: Vec<_> = all.filter(|(_, name)| is_about_the_service(name)).collect();
        ensure!(points.len() >= 6, "only these points were passed: {text}");
        Ok(points)
    }
}

/// Tries the faults at these points, and fails with all that goes wrong.
fn try_all(what: &str, points: &[(usize, String)], mut attempt: impl FnMut(usize, &str) -> Result<()>) {
    let is_all = env::var("GATLING_FAULTS").is_ok_and(|kinds| kinds == "all");
    let mut failures = Vec::new();
    for (index, (number, name)) in points.iter().enumerate() {
        let kinds = match is_all {
            true => &KINDS[..],
            false if index % 4 == 0 => &KINDS[index / 4 % KINDS.len()..][..1],
            false => &[],
        };
        for kind in kinds {
            if let Err(error) = attempt(*number, kind) {
                failures.push(format!("{kind} at {number} ({name}): {error:#}"));
            }
        }
    }
    println!("{what}: {} points", points.len());
    assert!(failures.is_empty(), "{} faults of {what}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_service_survives_a_fault_at_every_point_of_its_installation() {
    let sandbox = Sandbox::new().unwrap();
    let Some(mut stage) = Stage::new(&sandbox) else { return };
    stage.next_version().unwrap();
    let points = stage.points(&push()).unwrap();
    try_all("deploy", &points, |number, kind| {
        let unload = stage.server.as_deploy("gatling unload hello --yes && gatling load hello");
        ensure!(unload.status.success(), "{unload:?}");
        stage.next_version()?;
        stage.fail_at(&push(), number, kind)?;
        stage.deploy().context("the next push")
    });
}

#[test]
fn the_service_survives_a_fault_at_every_point_of_an_upgrade() {
    let sandbox = Sandbox::new().unwrap();
    let Some(mut stage) = Stage::new(&sandbox) else { return };
    stage.deploy().unwrap();
    // So that the units are installed again.
    let age = "for file in /etc/systemd/system/hello*.service; do echo '# old' >>$file; done; systemctl daemon-reload";
    stage.server.machine.get(age).unwrap();
    stage.next_version().unwrap();
    let points = stage.points(&push()).unwrap();
    try_all("upgrade", &points, |number, kind| {
        stage.server.machine.get(age)?;
        let old = stage.served().unwrap_or_default();
        let new = stage.next_version()?;
        stage.fail_at(&push(), number, kind)?;
        stage.wait_for(&[&old, &new]).context("after the fault")?;
        stage.deploy().context("the next push")
    });
}

#[test]
fn an_unload_survives_a_fault_at_every_point_that_is_about_the_service() {
    let sandbox = Sandbox::new().unwrap();
    let Some(mut stage) = Stage::new(&sandbox) else { return };
    stage.deploy().unwrap();
    let points = stage.points("gatling unload hello --yes").unwrap();
    try_all("unload", &points, |number, kind| {
        ensure!(stage.server.as_deploy("gatling load hello").status.success());
        stage.deploy().context("a deployment")?;
        stage.fail_at("gatling unload hello --yes", number, kind)?;
        if stage.server.as_deploy("ls -d hello deployments/hello").says("hello") {
            let again = stage.server.as_deploy("gatling unload hello --yes");
            ensure!(again.status.success(), "{again:?}");
        }
        let left = stage.server.machine.get("find /etc /home/deploy /run/systemd/units -name '*hello*' -not -path '*/.gatling/*' -not -path '*/sudoers.d/*'; pgrep -x stand-in-app || true")?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    });
}
