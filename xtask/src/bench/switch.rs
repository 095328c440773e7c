//! Upgrades seen by visitors who never stop: what they lose, how long they wait, and what nginx's part in it costs.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use gatling_tests::load::{self, Kind, Load, Seen};
use gatling_tests::{Project, Sandbox, waiting};
use jiff::Timestamp;
use serde_json::Value;

use super::numbers::{Spread, milliseconds};
use super::table::Table;
use crate::shell;

const PROJECT: &str = "hello";
const VISITORS: [(Kind, usize); 7] = [
    (Kind::Get, 8),
    (Kind::Post, 8),
    (Kind::New, 4),
    (Kind::Slow, 2),
    (Kind::Upload, 2),
    (Kind::Stream, 1),
    (Kind::Socket, 1),
];
/// The connections that wrk keeps.
const CONNECTIONS: usize = 20;
/// How long wrk measures one site, in seconds.
const WRK_SECONDS: usize = 3;

/// What was measured.
pub(super) struct Switch {
    rows: Vec<Row>,
    /// Requests per second through our site, as a part of those through the same site without the switch.
    through: Spread,
}

/// One strategy.
struct Row {
    strategy: &'static str,
    upgrades: usize,
    answers: usize,
    failed: usize,
    /// Answers by a version that did not serve then.
    stale: usize,
    /// How often the WebSocket ended.
    ended: usize,
    /// Whether the same process serves as at the beginning, before the restart.
    same_process: bool,
    /// The longest answer while the app was built, and while it was switched, in milliseconds.
    worst: [f64; 2],
    /// From the end of the build until the first visitor got the new version, in seconds.
    served: Spread,
    /// What wrk says of requests that failed.
    wrk: String,
}

impl Switch {
    /// Upgrades the example app so many times in a row by each strategy, then restarts it and goes back, under load.
    pub(super) fn measure(program: &std::path::Path, upgrades: usize) -> Result<Self> {
        println!("Upgrading the example app {upgrades} times by each strategy, under load\n");
        let mut rows = Vec::new();
        for strategy in ["blue-green", "hot", "restart"] {
            rows.push(Row::measure(&Sandbox::with_program(program.to_owned())?, strategy, upgrades)?);
        }
        Ok(Self { rows, through: through(&Sandbox::with_program(program.to_owned())?)? })
    }

    /// How many requests failed in blue-green and hot upgrades, or were answered by a version that did not serve.
    pub(super) fn lost(&self) -> f64 {
        self.rows.iter().take(2).map(|row| (row.failed + row.stale) as f64).sum()
    }

    /// How long a hot upgrade takes after the build, in seconds.
    pub(super) fn hot_seconds(&self) -> f64 {
        self.rows.get(1).map_or(f64::NAN, |row| row.served.median)
    }

    /// How much longer the longest answer took in a blue-green switch than in a build.
    pub(super) fn latency(&self) -> f64 {
        self.rows.first().map_or(f64::NAN, |row| row.worst[1] / row.worst[0])
    }

    /// Requests per second that the switch costs, in percent.
    pub(super) fn cost(&self) -> f64 {
        100.0 * (1.0 - self.through.median)
    }

    /// Prints the table.
    pub(super) fn print(&self) {
        let titles = [
            "",
            "upgrades",
            "answers",
            "failed",
            "stale",
            "process",
            "socket ended",
            "worst: build",
            "switch",
            "built to served",
        ];
        let mut table = Table::new(titles);
        for row in &self.rows {
            table.add([
                row.strategy.to_owned(),
                row.upgrades.to_string(),
                row.answers.to_string(),
                row.failed.to_string(),
                row.stale.to_string(),
                if row.same_process { "same" } else { "new" }.to_owned(),
                format!("{} times", row.ended),
                format!("{:.0} ms", row.worst[0]),
                format!("{:.0} ms", row.worst[1]),
                format!("{:.2} s", row.served),
            ]);
        }
        println!("{table}");
        println!(
            "Each also has a restart and a rollback. Among the visitors are pages and uploads of 3 s, a page \
             of 30 s, and a WebSocket."
        );
        for row in &self.rows {
            println!("wrk, {CONNECTIONS} connections, {}: {}", row.strategy, row.wrk);
        }
        println!("requests per second, our site / the same site without the switch: {:.3}\n", self.through);
    }
}

impl Row {
    fn measure(sandbox: &Sandbox, strategy: &'static str, upgrades: usize) -> Result<Self> {
        let hello = deploy(sandbox, strategy)?;
        let process = || fs::read_to_string(sandbox.home().join("deployments/hello/run/hello.pid")).ok();
        let first_process = process();
        let mut wrk = wrk(sandbox, 3600)?;
        let load = Load::start(sandbox.nginx_port(), &VISITORS);
        let mut versions = vec!["0.1.0".to_owned()];
        let (mut builds, mut switches, mut built) = (Vec::new(), Vec::new(), Vec::new());
        for number in 2..upgrades + 2 {
            let version = format!("0.{number}.0");
            hello.set_version(&version)?;
            hello.commit(&version)?;
            hello.deploy()?;
            versions.push(version);
            let events = sandbox.events(PROJECT)?;
            let at = |event: &str, step: &str| {
                let found = events.iter().find(|other| other["event"] == event && other["step"] == step);
                time(found.with_context(|| format!("there is no {event} of {step}"))?)
            };
            builds.push((at("step_begun", "mix_deps_get")?, at("step_ended", "mix_release")?));
            switches.push((at("step_begun", "upgrade_service")?, at("step_ended", "upgrade_service")?));
            built.push(at("step_ended", "mix_release")?);
        }
        let same_process = process() == first_process;
        sandbox.run(&["restart", PROJECT])?.expect_success()?;
        sandbox.run(&["rollback", PROJECT])?.expect_success()?;
        versions.push(versions[versions.len() - 2].clone());
        thread::sleep(Duration::from_secs(1));

        let seen = load.stop();
        // It prints its report when it is interrupted.
        Command::new("kill").args(["-INT", &wrk.id().to_string()]).status()?;
        let said = read(&mut wrk)?;
        let errors: Vec<_> = seen.iter().flat_map(|seen| &seen.errors).collect();
        if let (Some(error), "blue-green" | "hot") = (errors.first(), strategy) {
            println!("the first of {} failures: {error}", errors.len());
        }
        let served = built.iter().zip(&versions[1..]).map(|(built, version)| {
            let first = seen.iter().filter_map(|seen| seen.first(version)).min();
            let first = first.with_context(|| format!("no visitor got {version}"))?;
            Ok(first.duration_since(*built)?.as_secs_f64())
        });
        let served = served.collect::<Result<Vec<_>>>()?;
        let worst = |windows: &[(SystemTime, SystemTime)]| {
            let times = seen.iter().flat_map(|seen| &seen.times);
            let inside = times.filter(|(at, _)| windows.iter().any(|(begun, ended)| begun <= at && at <= ended));
            inside.map(|(_, time)| milliseconds(*time)).fold(0.0, f64::max)
        };
        Ok(Self {
            strategy,
            upgrades,
            answers: seen.iter().map(|seen| seen.answers).sum(),
            failed: errors.len(),
            ended: seen.iter().map(|seen| seen.ended).sum(),
            same_process,
            stale: seen.iter().map(|seen| stale(seen, &versions)).sum(),
            worst: [worst(&builds), worst(&switches)],
            served: Spread::of(served),
            wrk: summary(&said),
        })
    }
}

/// Deploys the example app, with pages for all kinds of visitors.
fn deploy<'s>(sandbox: &'s Sandbox, strategy: &str) -> Result<Project<'s>> {
    let hello = sandbox.load(PROJECT)?;
    sandbox.let_nodes_connect(PROJECT)?;
    load::prepare(&hello)?;
    let settings = format!("strategy = \"{strategy}\"\n{}", hello.read("gatling.toml")?);
    hello.write("gatling.toml", &settings)?;
    hello.commit("Pages")?;
    hello.deploy()?;
    sandbox.wait_for_answer(200, "hello 0.1.0\n")?;
    Ok(hello)
}

/// How often a visitor met a version out of turn.
fn stale(seen: &Seen, versions: &[String]) -> usize {
    let mut rest = versions.iter();
    seen.versions.iter().filter(|version| !rest.any(|other| other == *version)).count()
}

fn time(event: &Value) -> Result<SystemTime> {
    let at: Timestamp = event["at"].as_str().context("an event has a time")?.parse()?;
    Ok(SystemTime::try_from(at)?)
}

/// Compares our site with the same one without the switch, in turns.
fn through(sandbox: &Sandbox) -> Result<Spread> {
    deploy(sandbox, "blue-green")?;
    let site = sandbox.nginx_dir().join("sites-available").join(PROJECT);
    let ours = fs::read_to_string(&site)?;
    let plain = without_switch(&ours)?;
    let rate = |text: &str, mark: &str| -> Result<f64> {
        let marked = text.replacen("server {", &format!("server {{\n  location = /{mark} {{ return 200 {mark}; }}"), 1);
        fs::write(&site, marked)?;
        sandbox.reload_nginx()?;
        sandbox.wait_for_answer_at(&format!("/{mark}"), 200, mark)?;
        requests_per_second(&read(&mut wrk(sandbox, WRK_SECONDS)?)?)
    };
    let mut ratios = Vec::new();
    for round in 0..21 {
        let (ours, plain) = if round % 2 == 0 {
            let ours = rate(&ours, &format!("ours{round}"))?;
            (ours, rate(&plain, &format!("plain{round}"))?)
        } else {
            let plain = rate(&plain, &format!("plain{round}"))?;
            (rate(&ours, &format!("ours{round}"))?, plain)
        };
        // The first round warms up.
        if round > 0 {
            ratios.push(ours / plain);
        }
    }
    Ok(Spread::of(ratios))
}

/// The site, passing requests to one port without any test.
fn without_switch(site: &str) -> Result<String> {
    let port = site.lines().find_map(|line| line.trim().strip_prefix("set $gatling_port ")?.strip_suffix(';'));
    let port = port.context("the site has no port")?.to_owned();
    let mut text = String::new();
    let mut is_inside = false;
    for line in site.lines() {
        let line_is_test = line.trim_start().starts_with("if (");
        if !is_inside && !line_is_test && !line.contains("open_file_cache off") {
            text += &line.replace(":$gatling_port", &format!(":{port}"));
            text.push('\n');
        }
        is_inside = (is_inside || line_is_test) && line.trim() != "}";
    }
    ensure!(!text.contains("if ("), "the site has tests that were not found:\n{text}");
    Ok(text)
}

/// Starts wrk, which asks for the app's page for so many seconds.
fn wrk(sandbox: &Sandbox, seconds: usize) -> Result<Child> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t", "1", "-c", &CONNECTIONS.to_string(), "-d", &format!("{seconds}s")]);
    wrk.args(["-H", "Host: hello.example.com", &format!("http://127.0.0.1:{}/", sandbox.nginx_port())]);
    wrk.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().with_context(|| shell::text(&wrk))
}

/// Waits for wrk, and returns what it has printed.
fn read(wrk: &mut Child) -> Result<String> {
    let ended = || wrk.try_wait().ok().flatten();
    ensure!(waiting::wait_for("wrk to end", ended)?.success(), "wrk failed");
    Ok(std::io::read_to_string(wrk.stdout.take().context("wrk prints")?)?)
}

/// What wrk says of its requests: how many there were, and what failed.
fn summary(said: &str) -> String {
    let is_wanted = |line: &&str| ["requests in", "Socket errors", "Non-2xx"].iter().any(|word| line.contains(word));
    let lines: Vec<_> = said.lines().filter(is_wanted).map(str::trim).collect();
    let failed = if lines.len() > 1 { "" } else { "; none failed" };
    lines.join("; ") + failed
}

fn requests_per_second(said: &str) -> Result<f64> {
    let rate = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    Ok(rate.with_context(|| format!("wrk says no rate:\n{said}"))?.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_without_the_switch_passes_requests_to_one_port() {
        let site = "server {\n  set $gatling_port 4000;\n  open_file_cache off;\n  if (-f \"/x\") {\n    set $gatling_port 4001;\n  }\n  \
                    location / {\n    proxy_pass http://127.0.0.1:$gatling_port;\n  }\n}\n";
        let plain =
            "server {\n  set $gatling_port 4000;\n  location / {\n    proxy_pass http://127.0.0.1:4000;\n  }\n}\n";
        assert_eq!(without_switch(site).expect("it has a port"), plain);
    }

    #[test]
    fn a_version_out_of_turn_is_stale() {
        let versions = ["1", "2", "3"].map(str::to_owned);
        let seen = |versions: &[&str]| Seen {
            versions: versions.iter().map(|v| (*v).to_owned()).collect(),
            ..Seen::default()
        };
        assert_eq!(stale(&seen(&["1", "3"]), &versions), 0);
        assert_eq!(stale(&seen(&["1", "2", "1"]), &versions), 1);
    }

    #[test]
    fn what_wrk_says_of_failures_is_kept() {
        let fine = "Running\n  1000 requests in 2.00s, 1MB read\nRequests/sec:  500.00\n";
        assert_eq!(summary(fine), "1000 requests in 2.00s, 1MB read; none failed");
        assert!(summary("  10 requests in 1s\n  Non-2xx or 3xx responses: 7\n").ends_with("responses: 7"));
        assert!((requests_per_second(fine).expect("a rate") - 500.0).abs() < 0.1);
    }
}
