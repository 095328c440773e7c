//! Boots: after each strategy and in the middle of it.

use std::thread;
use std::time::Duration;

use gatling_tests::{Sandbox, waiting};

use crate::{Server, check, push};

impl Server<'_> {
    /// Pulls the plug and boots.
    pub(crate) fn reboot(&mut self) {
        self.machine.pull_the_plug().unwrap();
        self.machine.boot().unwrap();
    }

    /// Starts a push of a version, and pulls the plug when `marker` is in the log of the run. Then boots: `versions` may serve, and
    /// the next push works.
    fn pull_the_plug_in_a_push(&mut self, version: &str, marker: &str, versions: &[&str]) {
        self.hello.set_version(version).unwrap();
        self.hello.commit(version).unwrap();
        let mut pushing = self.machine.command().unwrap();
        let mut pushing = pushing.args(["su", "-l", "deploy", "-c", &push()]).spawn().unwrap();
        let log = "cat /home/deploy/.gatling/hello/runs/$(ls /home/deploy/.gatling/hello/runs | tail -n 1)/*";
        let is_there = || self.machine.run(log).unwrap().stdout.contains(marker).then_some(());
        waiting::wait_for(marker, is_there).unwrap();
        self.reboot();
        _ = pushing.wait();
        let serves = waiting::wait_for("a version", || self.answer()).unwrap();
        assert!(versions.iter().any(|version| serves == format!("hello {version}")), "{marker}: {serves}");
        self.wait_until_alone(serves.trim_start_matches("hello "));
        println!("after {marker:?}: {serves}");
    }
}

#[test]
fn the_release_that_serves_starts_at_boot_and_no_other() {
    let sandbox = Sandbox::new().unwrap();
    let Some(mut server) = Server::deployed(&sandbox) else { return };
    server.reboot();
    server.wait_until_alone("0.1.0");
    server.upgrade("0.2.0");
    server.reboot();
    server.wait_until_alone("0.2.0");
    server.wait_for_states(["active", "inactive", "active"]);
    // After a boot, a process can have the pid that another one had before.
    let started =
        |server: &Server, pid: &str| server.machine.get(&format!("cut -d ' ' -f 22 /proc/{pid}/stat")).unwrap();
    let (before, _) = server.upgrade_hot("0.3.0");
    let before = started(&server, &before);
    server.reboot();
    let (after, _) = server.wait_until_alone("0.3.0");
    assert_ne!(started(&server, &after), before);
    server.gatling("rollback hello", 0);
    server.reboot();
    server.wait_until_alone("0.2.0");
    server.machine.get("systemctl stop hello").unwrap();
    server.reboot();
    server.wait_until_alone("0.2.0");
    // Also if the file that decides is wrong, or gone.
    server
        .machine
        .get("rm -f /var/lib/gatling/hello/green; echo 0.1.0 >/home/deploy/deployments/hello/run/green")
        .unwrap();
    server.reboot();
    server.wait_until_alone("0.2.0");
}

#[test]
fn whenever_the_plug_is_pulled_some_version_serves_and_the_next_push_works() {
    let sandbox = Sandbox::new().unwrap();
    let Some(mut server) = Server::deployed(&sandbox) else { return };
    server.hello.replace("gatling.toml", "soak = \"0s\"", "soak = \"3s\"").unwrap();
    server.pull_the_plug_in_a_push("0.2.0", "start-beside 0.2.0", &["0.1.0"]);
    server.pull_the_plug_in_a_push("0.3.0", "watching 0.3.0", &["0.1.0", "0.3.0"]);
    server.pull_the_plug_in_a_push("0.4.0", "keep 0.4.0", &["0.1.0", "0.3.0", "0.4.0"]);
    server.upgrade("0.5.0");
    server.hello.replace("gatling.toml", "[health]", "strategy = \"restart\"\n\n[health]").unwrap();
    server.pull_the_plug_in_a_push("0.6.0", "upgrade 0.6.0", &["0.5.0", "0.6.0"]);
    server.upgrade("0.7.0");
    server.hello.replace("gatling.toml", "\"restart\"", "\"hot\"").unwrap();
    server.pull_the_plug_in_a_push("0.8.0", "in-place 0.8.0", &["0.7.0"]);
    server.pull_the_plug_in_a_push("0.9.0", "watching 0.9.0", &["0.7.0", "0.8.0", "0.9.0"]);
    server.upgrade("0.10.0");
}

#[test]
fn a_server_without_units_moves_over_with_its_next_push_and_loses_no_request() {
    let sandbox = Sandbox::new().unwrap();
    let Some(mut server) = Server::deployed(&sandbox) else { return };
    // As an older version of Gatling has left it: an init script, a supervisor, and a rule for any service.
    let script = "systemctl stop hello
        rm /etc/systemd/system/hello*.service /etc/systemd/system/multi-user.target.wants/hello.service
        echo 'deploy ALL=(root) NOPASSWD: /usr/sbin/service, /usr/sbin/update-rc.d, /usr/sbin/nginx, /usr/bin/install, \
            /usr/bin/ln, /usr/bin/rm, /usr/bin/systemctl daemon-reload' >/etc/sudoers.d/gatling-hello
        update-rc.d hello defaults
        systemctl daemon-reload
        systemctl start hello";
    server.machine.get(script).unwrap();
    server.wait_for("0.1.0");
    assert!(server.running().iter().all(|(_, unit)| unit == "hello.service"), "{:?}", server.running());
    let (pid, _) = server.running().remove(0);
    server.machine.get(&format!("kill -9 {pid}")).unwrap();
    thread::sleep(Duration::from_secs(2));
    server.wait_for("0.1.0");

    let seen = server.under_load(|| {
        server.upgrade("0.2.0");
    });
    check(&seen, &["0.1.0", "0.2.0"]);
    assert!(server.machine.run("pgrep -f 'init.d/hello supervise'").unwrap().stdout.is_empty());
    server.reboot();
    server.wait_until_alone("0.2.0");
    server.gatling("rollback hello", 0);
    server.wait_until_alone("0.1.0");
    server.gatling("unload hello --yes", 0);
    assert_eq!(server.machine.get("ls /etc/rc?.d | grep -c hello || true").unwrap(), "0");
}
