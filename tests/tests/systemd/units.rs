//! The units: what runs in them, what starts it again, and what they are allowed.

use std::thread;
use std::time::Duration;

use gatling_tests::{Sandbox, waiting};

use crate::{Server, check};

const SERVICE_DOCS: &str = include_str!("../../../docs/service.md");

#[test]
fn every_strategy_loses_no_request_and_runs_in_units() {
    let sandbox = Sandbox::new().unwrap();
    let Some(server) = Server::deployed(&sandbox) else { return };
    let (_, unit) = server.wait_until_alone("0.1.0");
    assert_eq!(unit, "hello@blue.service");
    server.wait_for_states(["active", "active", "inactive"]);
    assert_eq!(server.machine.get("ps -o user= -C beam.smp").unwrap(), "deploy");

    let seen = server.under_load(|| {
        let output = server.upgrade("0.2.0");
        assert!(output.says("blue-green"), "{output:?}");
        server.wait_for_states(["active", "inactive", "active"]);

        server.upgrade_hot("0.3.0");
        server.gatling("restart hello", 0);
        assert_eq!(server.wait_until_alone("0.3.0").1, "hello@blue.service");
        server.gatling("rollback hello 0.2.0", 0);
        server.wait_until_alone("0.2.0");
        let output = server.upgrade("0.4.0");
        assert!(output.says("0.4.0"), "{output:?}");
    });
    check(&seen, &["0.1.0", "0.2.0", "0.3.0", "0.2.0", "0.4.0"]);

    server.hello.replace("gatling.toml", "\"hot\"", "\"restart\"").unwrap();
    server.upgrade("0.5.0");
    server.gatling("restart hello", 0);
    server.wait_until_alone("0.5.0");
    let output = server.gatling("rollback hello", 0);
    assert!(output.says("hello 0.4.0 is serving"), "{output:?}");
    server
        .hello
        .replace("lib/hello/application.ex", "children = [", "raise \"no such planet\"\n    children = [")
        .unwrap();
    let output = server.push_version("0.6.0");
    assert!(output.says("no such planet") && output.says("hello 0.4.0 is serving"), "{output:?}");
    server.wait_until_alone("0.4.0");
    assert!(server.gatling("logs hello -n 1000", 0).says("no such planet"));

    let output = server.gatling("unload hello --yes", 0);
    assert!(!output.says("warning"), "{output:?}");
    let find = "find /etc /home /run /tmp /usr/local /var/lib /var/spool -name '*hello*' -not -path '*/.gatling/*'";
    let left = server.machine.get(find).unwrap();
    let left: Vec<_> = left.lines().filter(|path| !path.ends_with("sudoers.d/gatling-hello")).collect();
    assert!(left.is_empty(), "{left:#?}");
    assert!(server.running().is_empty());
    server.wait_for_states(["inactive"; 3]);
}

#[test]
fn a_dead_app_is_started_again_and_one_that_dies_often_less_often() {
    let sandbox = Sandbox::new().unwrap();
    let Some(server) = Server::deployed(&sandbox) else { return };
    for deaths in 1..=3 {
        let (pid, _) = server.wait_until_alone("0.1.0");
        server.machine.get(&format!("kill -9 {pid}")).unwrap();
        let is_new = || (server.running().first().is_some_and(|(new, _)| *new != pid)).then_some(());
        waiting::wait_for("a new process", is_new).unwrap();
        server.wait_for("0.1.0");
        let times = if deaths == 1 { "once".to_owned() } else { format!("{deaths} times") };
        let status = server.gatling("status hello", 0);
        assert!(status.says(&format!("DIED     {times}")) && status.says("journalctl -u hello@blue"), "{status:?}");
    }
    assert!(server.gatling("logs hello", 0).says("it has died 3 times within five minutes; starting it again in 4 s"));

    // While it waits, a restart or an upgrade does not.
    let (pid, _) = server.wait_until_alone("0.1.0");
    server.machine.get(&format!("kill -9 {pid}")).unwrap();
    let waits = || server.gatling("logs hello -n 5", 0).says("starting it again in 8 s").then_some(());
    waiting::wait_for("the pause", waits).unwrap();
    server.upgrade("0.2.0");
    thread::sleep(Duration::from_secs(9));
    server.wait_until_alone("0.2.0");

    // One that is stopped on purpose stays so.
    server.machine.get("systemctl stop hello").unwrap();
    server.wait_for_states(["inactive"; 3]);
    thread::sleep(Duration::from_secs(2));
    assert!(server.running().is_empty());
    server.machine.get("service hello start").unwrap();
    server.wait_until_alone("0.2.0");
    server.machine.get("systemctl restart hello").unwrap();
    server.wait_until_alone("0.2.0");
    // Also while something else holds the script's lock: a run that waits for systemd would never release it.
    server.machine.get("systemd-run --quiet flock /home/deploy/deployments/hello/run/lock sleep 60").unwrap();
    server.machine.get("timeout 30 systemctl restart hello && systemctl stop 'run-*'").unwrap();
    server.wait_until_alone("0.2.0");
    assert!(server.machine.run("service hello upgrade 0.1.0").unwrap().says("0.1.0 answers on port"));
    server.wait_until_alone("0.1.0");
}

#[test]
fn a_project_can_have_a_unit_of_its_own_if_systemd_understands_it() {
    let sandbox = Sandbox::new().unwrap();
    let Some(server) = Server::deployed(&sandbox) else { return };
    let unit = "[Unit]\nPartOf=hello.service\nAfter=hello.service\nStartLimitIntervalSec=0\n\n[Service]\nType=exec\nUser={{ user }}\n\
        ExecStart={{ script }} run-in-unit %i\nExecStopPost={{ script }} ended-in-unit %i\nRestart=always\n\
        RestartSec=500ms\nRestartPreventExitStatus=77 203 217 226\nSuccessExitStatus=77\nKillMode=process\nMemoryMax=500M\n";
    let refused = |text: &str, says: &str| {
        server.hello.write("hello@.service", text).unwrap();
        let output = server.push_version("0.2.0");
        assert!(output.says(says) && output.says("hello 0.1.0 is serving"), "{output:?}");
        server.machine.get("! grep MemoryMax /etc/systemd/system/hello@.service").unwrap();
        server.wait_until_alone("0.1.0");
    };
    refused(&unit.replace("MemoryMax", "MemoryMaximum"), "Unknown key 'MemoryMaximum'");
    refused(&unit.replace("User={{ user }}\n", ""), "lacks the line `User=deploy`");
    refused(&unit.replace("After=hello.service\n", ""), "lacks the line `After=hello.service`");
    refused(&unit.replace("{{ user }}", "{{ usr }}"), "it may contain {{ project }}");
    refused(&unit.replace("run-in-unit", "run"), "lacks the line `ExecStart=/etc/init.d/hello run-in-unit %i`");

    server.hello.write("hello@.service", unit).unwrap();
    server.upgrade("0.3.0");
    assert_eq!(server.machine.get("systemctl show --property MemoryMax --value hello@green").unwrap(), "524288000");
    server.hello.remove("hello@.service").unwrap();
    server.upgrade("0.4.0");
    assert_eq!(server.machine.get("systemctl show --property MemoryMax --value hello@blue").unwrap(), "infinity");

    // The app cannot get root's rights by the rule of its user.
    let may_not_get_more = || {
        let (pid, _) = server.wait_until_alone("0.4.0");
        server.machine.get(&format!("cat /proc/{pid}/status")).unwrap().contains("NoNewPrivs:\t1")
    };
    assert!(may_not_get_more());
    // The operator can allow it.
    let dropin: Vec<_> = SERVICE_DOCS.lines().skip_while(|line| !line.contains("NoNewPrivileges=no")).collect();
    let dropin: Vec<_> = dropin.iter().map(|line| line.trim()).take_while(|line| !line.is_empty()).collect();
    server
        .machine
        .get(&format!(
            "mkdir -p /etc/systemd/system/hello@.service.d
            printf '[Service]\n{}\n' >/etc/systemd/system/hello@.service.d/override.conf
            systemctl daemon-reload && systemctl restart hello",
            dropin.join("\\n")
        ))
        .unwrap();
    server.wait_for("0.4.0");
    assert!(!may_not_get_more());
}

#[test]
fn a_unit_that_gatling_did_not_write_is_not_replaced() {
    let sandbox = Sandbox::new().unwrap();
    let Some(server) = Server::new(&sandbox) else { return };
    let foreign = "[Service]\nExecStart=/bin/true\n";
    server.machine.get(&format!("printf '{foreign}' >/etc/systemd/system/hello.service")).unwrap();
    let output = server.push().unwrap();
    assert!(output.says("systemd already has a unit /etc/systemd/system/hello.service"), "{output:?}");
    assert_eq!(server.machine.get("cat /etc/systemd/system/hello.service").unwrap(), foreign.trim_end());
}
