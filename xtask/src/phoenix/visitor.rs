//! A visitor of the site: with curl, and with a real browser.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use gatling_tests::{Browser, Certificate, Output, Sandbox};

use super::HOSTS;

/// How long to wait between two of the requests that are made during something else.
const PAUSE: Duration = Duration::from_millis(100);

/// How a visitor reaches the server.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// Where nginx really listens for what is port 80 to the visitor.
    pub(crate) http_port: u16,
    /// The same for port 443, and the certificate that the visitor trusts.
    pub(crate) https: Option<(u16, Certificate)>,
}

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// The line of the status and the headers.
    pub(crate) head: String,
    /// The rest, unpacked.
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(other, _)| other.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
    }
}

impl Visitor {
    /// The address of a page, as a visitor types it: with HTTPS where there is HTTPS.
    pub(crate) fn url(&self, host: &str, path: &str) -> String {
        let scheme = if self.https.is_some() { "https" } else { "http" };
        format!("{scheme}://{host}{path}")
    }

    /// Asks for a page.
    pub(crate) fn get(&self, host: &str, path: &str) -> Result<Answer> {
        self.ask(&self.url(host, path), &[])
    }

    /// Makes a request with more arguments for curl. Redirects aren't followed.
    pub(crate) fn ask(&self, url: &str, arguments: &[&str]) -> Result<Answer> {
        let output = Output::of(self.curl(url).arg("--include").args(arguments))?;
        let output = output.expect_success().with_context(|| format!("asking for {url}"))?.stdout;
        let (head, body) = output.split_once("\r\n\r\n").context("the answer has no end of headers")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Answer {
            status: status.with_context(|| format!("the answer has no status: {head}"))?,
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    /// A curl that prints what is found at a URL, or else says why not.
    pub(crate) fn curl(&self, url: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]);
        curl.args(["--connect-to", &format!(":80:127.0.0.1:{}", self.http_port)]);
        if let Some((port, certificate)) = &self.https {
            curl.args(["--connect-to", &format!(":443:127.0.0.1:{port}"), "--cacert"]).arg(&certificate.certificate);
        }
        curl.arg(url);
        curl
    }

    /// Fails unless the version that the page shows is this one.
    pub(crate) fn expect_version(&self, version: &str) -> Result<()> {
        let answer = self.get(HOSTS[0], "/counter")?;
        let shown = answer.body.split_once("shop ").and_then(|(_, rest)| rest.split('<').next()).unwrap_or_default();
        ensure!(answer.status == 200, "the page answers with {}", answer.status);
        ensure!(shown == version, "the page shows the version {shown:?} instead of {version:?}");
        Ok(())
    }

    /// Asks for a page again and again while `act` is under way.
    pub(crate) fn during<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<(T, Tally)> {
        let requests = Requests::start(self.clone());
        let done = act();
        let tally = requests.end()?;
        Ok((done?, tally))
    }

    /// Asks for a slow page again and again while `act` is under way, and returns how often. It is an error if an answer is
    /// not as it should be.
    pub(crate) fn during_slow_requests<T>(&self, path: &str, act: impl FnOnce() -> Result<T>) -> Result<(T, usize)> {
        let is_done = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (visitor, path, is_done) = (self.clone(), path.to_owned(), Arc::clone(&is_done));
                thread::spawn(move || -> Result<usize> {
                    // So that some request is always young, and some is old.
                    thread::sleep(Duration::from_secs(3 * number));
                    let mut answers = 0;
                    while !is_done.load(Ordering::Relaxed) {
                        let answer = visitor.get(HOSTS[0], &path)?;
                        ensure!(answer.status == 200, "the slow page answers with {}", answer.status);
                        answers += 1;
                    }
                    Ok(answers)
                })
            })
            .collect();
        let done = act();
        is_done.store(true, Ordering::Relaxed);
        let answers = threads.into_iter().map(|thread| match thread.join() {
            Ok(answers) => answers,
            Err(_) => bail!("the thread that makes requests has panicked"),
        });
        let answers = answers.sum::<Result<usize>>()?;
        Ok((done?, answers))
    }

    /// A browser that reaches the server.
    pub(crate) fn browser(&self, sandbox: &Sandbox) -> Result<Browser> {
        let mut builder = Browser::builder(sandbox);
        for host in HOSTS {
            builder = builder.host(host, 80, self.http_port);
            if let Some((port, _)) = &self.https {
                builder = builder.host(host, 443, *port);
            }
        }
        if let Some((_, certificate)) = &self.https {
            builder = builder.trust(certificate)?;
        }
        builder.start()
    }

    /// Opens the pages of a host in a browser, as a visitor who types its bare name. Clicks on the
    /// counter, if `is_live`. Pictures are named after `shot`.
    pub(crate) fn look(&self, browser: &Browser, host: &str, version: &str, is_live: bool, shot: &Path) -> Result<()> {
        let picture = |part: &str| browser.screenshot(&shot.with_file_name(name(shot, part)));
        browser.open(&format!("http://{host}/"))?;
        picture("home")?;
        let (reached, wanted) = (browser.url()?, self.url(host, "/"));
        ensure!(reached == wanted, "http://{host}/ leads to {reached} instead of {wanted}");
        browser.wait_for_text("body", "Peace of mind from prototype to production")?;

        browser.open(&self.url(host, "/counter"))?;
        browser.wait_for_text("#version", &format!("shop {version}"))?;
        if is_live {
            let clicks = (1..=3).try_for_each(|count| {
                browser.wait_for_text("#socket", "live").context("the LiveView does not connect")?;
                browser.click("#plus")?;
                browser.wait_for_text("#count", &count.to_string())
            });
            picture("counter")?;
            clicks?;
            let size = browser.run_js("return getComputedStyle(document.querySelector('#version')).fontSize")?;
            ensure!(size == "30px", "the title is {size} high instead of 30px: its style is missing");
        } else {
            picture("counter")?;
        }
        Ok(())
    }
}

fn name(shot: &Path, part: &str) -> String {
    format!("{}-{part}.png", shot.file_name().unwrap_or_default().display())
}

/// How requests went that were made during something else.
#[derive(Default)]
pub(crate) struct Tally {
    total: usize,
    pub(crate) failed: usize,
    /// The longest time from the first request that failed to the next one that didn't.
    longest: Duration,
    last_failure: String,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests meanwhile, {} failed", self.total, self.failed)?;
        if self.failed > 0 {
            write!(f, ", for {:.1} s at most; the last one: {}", self.longest.as_secs_f64(), self.last_failure)?;
        }
        Ok(())
    }
}

/// Requests that are being made.
struct Requests {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Tally>,
}

impl Requests {
    fn start(visitor: Visitor) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let is_enough = Arc::clone(&enough);
        let thread = thread::spawn(move || {
            let mut tally = Tally::default();
            let mut failing_since = None;
            while !is_enough.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let problem = match visitor.get(HOSTS[0], "/counter") {
                    Ok(answer) if answer.status == 200 => None,
                    Ok(answer) => Some(format!("the status {}", answer.status)),
                    Err(error) => Some(format!("{error:#}")),
                };
                tally.total += 1;
                if let Some(problem) = problem {
                    tally.failed += 1;
                    tally.last_failure = problem.lines().next_back().unwrap_or_default().to_owned();
                    failing_since.get_or_insert(asked);
                } else if let Some(since) = failing_since.take() {
                    tally.longest = tally.longest.max(since.elapsed());
                }
                thread::sleep(PAUSE);
            }
            if let Some(since) = failing_since {
                tally.longest = tally.longest.max(since.elapsed());
            }
            tally
        });
        Self { enough, thread }
    }

    fn end(self) -> Result<Tally> {
        self.enough.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(tally) => Ok(tally),
            Err(_) => bail!("the thread that makes requests has panicked"),
        }
    }
}
