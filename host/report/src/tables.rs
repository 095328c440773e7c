//! The status of projects and tables of runs, as text.

use std::fmt::Write as _;
use std::time::Duration;

use gatling_runs::{JournalError, Serving, State, Summary};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use crate::text::{describe_serving, short};
use gatling_text::{duration, duration_secs, escape_line};

/// The status of a project.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The project.
    pub project: String,
    /// Whether visitors are served.
    pub healthy: bool,
    /// What serves now.
    pub serving: Serving,
    /// Since when that release has been the current one.
    pub since: Option<Timestamp>,
    /// The process id of the app.
    pub pid: Option<u32>,
    /// The app's port.
    pub port: Option<u16>,
    /// The host names that were visited through nginx.
    pub hosts: Vec<String>,
    /// How often the current release has died and was started again lately, if it has.
    pub deaths: Option<Deaths>,
    /// Whether visitors get the page for maintenance instead of the app.
    pub maintenance: bool,
    /// The latest commit of the deploy branch, if it was pushed.
    pub pushed: Option<String>,
    /// The commit of the release that runs, or of the current one if none runs, if it is known.
    pub deployed: Option<String>,
    /// The command that deploys the pushed commit, if it does not serve and no run is in progress.
    pub to_deploy: Option<String>,
    /// Why the pushed commit does not serve any more, if it did.
    pub pushed_mark: Option<String>,
    /// Runs that are in progress or wait, the latest first.
    pub under_way: Vec<Summary>,
    /// The latest run that has ended.
    pub last: Option<Summary>,
}

/// How often a release has died in the last hour.
#[derive(Clone, Debug, Serialize)]
pub struct Deaths {
    /// The release.
    pub release: String,
    /// How often.
    pub count: usize,
    /// When it was last started again.
    pub last: Timestamp,
    /// The app's log.
    pub log: String,
}

/// A release that is on the server.
#[derive(Clone, Debug, Serialize)]
pub struct ReleaseInfo {
    /// Its name.
    pub release: String,
    /// Whether it is the current one, which the server starts when it boots.
    pub is_current: bool,
    /// Whether its process runs.
    pub runs: bool,
    /// Whether it has served.
    pub served: bool,
    /// Its commit, if it is known.
    pub commit: Option<String>,
    /// When it was built.
    pub built: Option<Timestamp>,
    /// When it last began to serve, if that run is still known.
    pub served_since: Option<Timestamp>,
    /// When its deployment failed.
    pub failed_at: Option<Timestamp>,
    /// Why it should not serve again without a look.
    pub mark: Option<String>,
}

/// Releases as a table, a line each.
#[must_use]
pub fn releases(releases: &[ReleaseInfo]) -> String {
    let mut rows = vec![["RELEASE", "COMMIT", "BUILT", "STATE", ""].map(str::to_owned)];
    for release in releases {
        let since = release.served_since.map(when);
        let state = match (release.is_current, release.runs, release.served, &release.failed_at) {
            (true, true, ..) => format!("serves{}", since.map(|time| format!(" since {time}")).unwrap_or_default()),
            (true, false, ..) => "current, but does not run".to_owned(),
            (_, _, true, _) => since.map_or("served".to_owned(), |time| format!("served from {time}")),
            (_, _, _, Some(at)) => format!("failed at {}", when(*at)),
            _ => "never served".to_owned(),
        };
        rows.push([
            escape_line(&release.release),
            short(&escape_line(release.commit.as_deref().unwrap_or("-"))).to_owned(),
            release.built.map_or("-".to_owned(), when),
            state,
            release.mark.as_deref().map(escape_line).unwrap_or_default(),
        ]);
    }
    table(&rows)
}

/// A time in this server's time zone.
#[must_use]
pub fn when(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

fn ago(time: Timestamp, now: Timestamp) -> String {
    duration(Duration::try_from(now.duration_since(time)).unwrap_or_default())
}

/// The status of a project, as several lines of text.
#[must_use]
pub fn status(status: &Status, now: Timestamp) -> String {
    let project = escape_line(&status.project);
    let mut text = describe_serving(&project, &status.serving).replace('\n', "\n  ") + "\n";
    let is_up = !matches!(status.serving, Serving::NotDeployed | Serving::Down { .. });
    if let Some(since) = status.since.filter(|_| is_up) {
        _ = writeln!(text, "  for      {} (since {})", ago(since, now), when(since));
    }
    if !status.hosts.is_empty() && is_up {
        _ = writeln!(text, "  at       {}", escape_line(&status.hosts.join(", ")));
    }
    if let Some((pid, port)) = status.pid.zip(status.port) {
        _ = writeln!(text, "  process  {pid}, port {port}");
    }
    if let Some(Deaths { release, count, last, log }) = &status.deaths {
        let times = if *count == 1 { "once".to_owned() } else { format!("{count} times") };
        let (release, last, log) = (escape_line(release), ago(*last, now), escape_line(log));
        _ = writeln!(
            text,
            "  DIED     {times} in the last hour: {release} was last started again {last} ago; see {log}"
        );
    }
    if status.maintenance {
        _ = writeln!(text, "  visitors get the maintenance page; to end this: gatling maintenance {project} off");
    }
    for run in &status.under_way {
        let at = run.at.as_ref().map(|at| format!(", at {}", escape_line(at))).unwrap_or_default();
        let what = run.pipeline.as_deref().unwrap_or("a push");
        let state = run.state.name();
        _ = writeln!(
            text,
            "  {state:<8} {}{at}, for {}, begun by {} (gatling log {project} --follow)",
            escape_line(what),
            ago(run.started_at, now),
            escape_line(&run.by)
        );
    }
    if let (Some(pushed), Some(why)) = (&status.pushed, &status.pushed_mark) {
        let (pushed, why) = (escape_line(pushed), escape_line(why));
        _ = writeln!(text, "  pushed   {}, which does not serve any more: {why}", short(&pushed));
    } else if let (Some(pushed), Some(command)) = (&status.pushed, &status.to_deploy) {
        _ = writeln!(
            text,
            "  pushed   {}, which does not serve: {}",
            short(&escape_line(pushed)),
            escape_line(command)
        );
    }
    match &status.last {
        Some(last) => _ = writeln!(text, "  last run {}", one_line(last, now)),
        None => text.push_str("  last run none yet\n"),
    }
    text
}

/// A run in one line, without its id.
fn one_line(run: &Summary, now: Timestamp) -> String {
    let mut line = escape_line(run.pipeline.as_deref().unwrap_or("a push"));
    if let Some(version) = &run.version {
        line += &format!(" of {}", escape_line(version));
    }
    if let Some(commit) = &run.commit {
        line += &format!(" ({})", short(&escape_line(commit)));
    }
    line += &format!(" {}", outcome(run));
    line += &format!(", {} ago", ago(run.finished_at.unwrap_or(run.started_at), now));
    if let Some(time) = run.seconds {
        line += &format!(", took {}", duration_secs(time));
    }
    line
}

/// How a run ended, and, if it did not succeed, at which step or hook.
fn outcome(run: &Summary) -> String {
    let at = run.at.as_ref().filter(|_| matches!(run.state, State::Failed | State::Killed | State::Cancelled));
    match at {
        Some(at) => format!("{} at {}", run.state.name(), escape_line(at)),
        None => run.state.name().to_owned(),
    }
}

/// Runs as a table, a line each.
#[must_use]
pub fn history(runs: &[(String, Result<Summary, JournalError>)]) -> String {
    let mut rows = vec![["RUN", "BEGUN", "PIPELINE", "VERSION", "COMMIT", "TOOK", "OUTCOME"].map(str::to_owned)];
    for (id, run) in runs {
        let id = escape_line(id);
        rows.push(match run {
            Ok(run) => [
                id,
                when(run.started_at),
                escape_line(run.pipeline.as_deref().unwrap_or("-")),
                escape_line(run.version.as_deref().unwrap_or("-")),
                short(&escape_line(run.commit.as_deref().unwrap_or("-"))).to_owned(),
                run.seconds.map_or("-".to_owned(), duration_secs),
                outcome(run),
            ],
            Err(error) => {
                let dash = || "-".to_owned();
                [id, dash(), dash(), dash(), dash(), dash(), format!("unreadable: {}", escape_line(&error.to_string()))]
            }
        });
    }
    table(&rows)
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or_default());
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line += cell;
            line += &" ".repeat(width - cell.width() + 2);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: State) -> Summary {
        Summary {
            id: "20260101-000000-000-1".to_owned(),
            project: "shop".to_owned(),
            pipeline: Some("upgrade".to_owned()),
            state,
            recovered: false,
            version: Some("0.2.0".to_owned()),
            release: Some("0.2.0".to_owned()),
            branch: Some("main".to_owned()),
            commit: Some("d87fa59d87fa59".to_owned()),
            pushed: None,
            strict: false,
            pid: None,
            boot: None,
            by: "deploy\u{1b}[2J".to_owned(),
            started_at: "2026-01-01T00:00:00Z".parse().expect("a time"),
            finished_at: Some("2026-01-01T00:00:17Z".parse().expect("a time")),
            seconds: Some(17.3),
            error: Vec::new(),
            at: Some("mix_compile".to_owned()),
            serving: None,
            synced: true,
        }
    }

    #[test]
    fn the_status_of_a_project_is_shown_in_a_few_lines() {
        let now = "2026-01-01T02:05:17Z".parse().expect("a time");
        let mut project = Status {
            project: "shop".to_owned(),
            healthy: true,
            serving: Serving::Serving { release: "0.2.0".to_owned() },
            since: Some("2026-01-01T00:00:17Z".parse().expect("a time")),
            pid: Some(7),
            port: Some(4000),
            hosts: vec!["www.example.com".to_owned()],
            deaths: None,
            maintenance: false,
            pushed: None,
            deployed: None,
            to_deploy: None,
            pushed_mark: None,
            under_way: vec![Summary { finished_at: None, seconds: None, ..run(State::Running) }],
            last: Some(run(State::Succeeded)),
        };
        let text = status(&project, now);
        for line in [
            "shop 0.2.0 is serving.\n  for      2 h 5 min (since 2026-01-01",
            "  at       www.example.com\n  process  7, port 4000\n",
            "  running  upgrade, at mix_compile, for 2 h 5 min, begun by deploy\\u{1b}[2J",
            "  last run upgrade of 0.2.0 (d87fa59) succeeded, 2 h 5 min ago, took 17.3 s\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in:\n{text}");
        }
        project.deaths = Some(Deaths {
            release: "0.2.0".to_owned(),
            count: 7,
            last: "2026-01-01T02:05:05Z".parse().expect("a time"),
            log: "/log/shop.log".to_owned(),
        });
        let died = "  DIED     7 times in the last hour: 0.2.0 was last started again 12.0 s ago; see /log/shop.log\n";
        assert!(status(&project, now).contains(died), "{}", status(&project, now));
        project.deaths = None;
        project.serving = Serving::NotDeployed;
        project.under_way.clear();
        project.last = Some(run(State::Failed));
        (project.pid, project.port) = (None, None);
        let text = status(&project, now);
        let expected = "shop is not deployed: no release is running.\n  last run upgrade of 0.2.0 (d87fa59) failed at mix_compile, \
                        2 h 5 min ago, took 17.3 s\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn history_is_a_table_that_says_why_a_run_cannot_be_read() {
        let runs = [
            ("20260102-000000-000-1".to_owned(), Err(JournalError::Newer(2))),
            ("20260101-000000-000-1".to_owned(), Ok(run(State::Killed))),
        ];
        let text = history(&runs);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("RUN                    BEGUN"), "{text}");
        assert!(lines[1].contains("unreadable: this journal has a newer format (2;"), "{text}");
        assert!(lines[2].ends_with("upgrade   0.2.0    d87fa59  17.3 s  killed at mix_compile"), "{text}");
    }
}
