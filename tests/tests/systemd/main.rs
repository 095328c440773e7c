//! Apps as services of a real systemd, deployed by a user who may do only what `gatling sudoers` prints.

mod boot;
mod faults;
mod random;
mod units;

use std::thread;
use std::time::Duration;

use gatling_tests::load::{self, Kind, Load, Seen, check};
use gatling_tests::machine::SHARED;
use gatling_tests::{HOST, Machine, Output, Project, Sandbox, http, places, waiting};

const VISITORS: [(Kind, usize); 6] =
    [(Kind::Get, 4), (Kind::Post, 4), (Kind::New, 2), (Kind::Slow, 2), (Kind::Upload, 2), (Kind::Socket, 1)];

/// A machine on which the user `deploy` has loaded hello.
struct Server<'s> {
    hello: Project<'s>,
    machine: Machine,
}

impl<'s> Server<'s> {
    /// None if this machine cannot have another one.
    fn new(sandbox: &'s Sandbox) -> Option<Self> {
        let hello = sandbox.project("hello").unwrap();
        load::prepare(&hello).unwrap();
        hello.commit("Slow pages").unwrap();
        Self::with(sandbox, hello)
    }

    /// A machine on which `deploy` has loaded this project.
    fn with(sandbox: &'s Sandbox, hello: Project<'s>) -> Option<Self> {
        let machine = Machine::start(sandbox.root()).unwrap()?;
        std::fs::copy(places::gatling().unwrap(), sandbox.root().join("gatling")).unwrap();
        machine
            .get(&format!(
                "install -m 755 {SHARED}/gatling /usr/local/bin/gatling
                useradd --create-home --shell /bin/bash deploy
                su -l deploy -c 'git config --global safe.directory \"*\" && gatling load hello'
                su -l deploy -c 'gatling sudoers hello' >/etc/sudoers.d/gatling-hello
                visudo -cqf /etc/sudoers.d/gatling-hello"
            ))
            .unwrap();
        Some(Self { hello, machine })
    }

    /// The server, with hello 0.1.0 deployed.
    fn deployed(sandbox: &'s Sandbox) -> Option<Self> {
        let server = Self::new(sandbox)?;
        let output = server.push().unwrap();
        assert!(output.says("hello 0.1.0 is serving"), "{output:?}");
        Some(server)
    }

    /// Runs a shell script as the user who deploys.
    fn as_deploy(&self, script: &str) -> Output {
        Output::of(self.machine.command().unwrap().args(["su", "-l", "deploy", "-c", script])).unwrap()
    }

    /// Runs `gatling` as the user who deploys. It must exit with this code.
    fn gatling(&self, args: &str, code: i32) -> Output {
        let output = self.as_deploy(&format!("gatling {args}"));
        assert_eq!(output.status.code(), Some(code), "{args}: {output:?}");
        output
    }

    fn push(&self) -> anyhow::Result<Output> {
        Output::of(self.machine.command()?.args(["su", "-l", "deploy", "-c", &push()]))
    }

    /// Commits and pushes a version.
    fn push_version(&self, version: &str) -> Output {
        self.hello.set_version(version).unwrap();
        self.hello.commit(version).unwrap();
        self.push().unwrap()
    }

    /// Pushes a version that must then serve.
    fn upgrade(&self, version: &str) -> Output {
        let output = self.push_version(version);
        assert!(output.says(&format!("hello {version} is serving")), "{output:?}");
        self.wait_until_alone(version);
        output
    }

    /// Pushes a version that must then serve in the process of the version before, and returns its pid and its unit.
    fn upgrade_hot(&self, version: &str) -> (String, String) {
        self.hello.replace("gatling.toml", "[health]", "strategy = \"hot\"\n\n[health]").unwrap();
        let before = self.running();
        let output = self.upgrade(version);
        assert!(output.says("runs in the same process as before"), "{output:?}");
        let after = self.wait_until_alone(version);
        assert_eq!(before, std::slice::from_ref(&after));
        after
    }

    /// What visitors get.
    fn answer(&self) -> Option<String> {
        let answer = self.machine.in_its_network(|| http::get(80, HOST, "/")).unwrap();
        answer.ok().filter(|(status, _)| *status == 200).map(|(_, body)| body.trim().to_owned())
    }

    fn wait_for(&self, version: &str) {
        let wanted = format!("hello {version}");
        waiting::wait_for(&wanted, || (self.answer().as_ref() == Some(&wanted)).then_some(()))
            .unwrap_or_else(|error| panic!("{error:#}: {}", self.machine.get("journalctl -n 50 --no-pager").unwrap()));
    }

    /// The pids and the units of the releases that run.
    fn running(&self) -> Vec<(String, String)> {
        let script = "for pid in $(pgrep -x beam.smp); do
            echo $pid $(sed -n 's|^0::.*/||p' /proc/$pid/cgroup); done";
        let text = self.machine.get(script).unwrap();
        text.lines().filter_map(|line| line.split_once(' ')).map(|(pid, unit)| (pid.into(), unit.into())).collect()
    }

    /// Waits until only this release runs, in a unit, and returns its pid and its unit.
    fn wait_until_alone(&self, version: &str) -> (String, String) {
        let one = || <[_; 1]>::try_from(self.running()).ok().map(|[one]| one);
        let found = waiting::wait_for("a single release", one).unwrap();
        assert!(found.1.starts_with("hello@"), "{found:?} runs in no unit of hello's");
        self.wait_for(version);
        found
    }

    /// Waits until hello's three units are in these states: systemd notices a moment later that a process has ended.
    fn wait_for_states(&self, wanted: [&str; 3]) {
        let are_right = || {
            let output = self.machine.run("systemctl is-active hello hello@blue hello@green").ok()?;
            output.stdout.lines().eq(wanted).then_some(())
        };
        waiting::wait_for(&format!("the states {wanted:?}"), are_right).unwrap();
    }

    /// Does something while visitors visit, and returns what they have seen.
    fn under_load(&self, work: impl FnOnce()) -> Vec<Seen> {
        let load = self.machine.in_its_network(|| Load::start(80, &VISITORS)).unwrap();
        work();
        // So that also those who wait see it.
        thread::sleep(Duration::from_secs(4));
        load.stop()
    }
}

/// The command that pushes, for the user who deploys.
fn push() -> String {
    format!("cd {SHARED} && cd work/hello && git push ~/hello main")
}
