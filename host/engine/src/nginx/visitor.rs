//! A visitor: requests a page from nginx as a browser would, follows redirects, and reports the result.
//!
//! It uses curl, which supports TLS and trusts the machine's certificates.

use std::fmt;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use gatling_nginx::{Endpoints, Transport};

/// How long one answer may take, in seconds.
const TIMEOUT_SECONDS: &str = "10";

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 6;

/// How a visit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer that has this status.
    Answered(u16),
    /// With a redirect to another site.
    LeftSite(String),
    /// With a redirect to an address where no server answers.
    BadRedirect {
        /// The address.
        to: String,
        /// Why no server answers there.
        why: String,
    },
    /// Without an answer, for this reason.
    NoAnswer(String),
}

/// A visit to a host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The address that the visitor entered.
    pub url: String,
    /// How it ended.
    pub outcome: Outcome,
    /// An address on the way whose certificate this machine does not trust.
    pub untrusted: Option<String>,
}

impl Visit {
    /// Whether the visitor was served.
    #[must_use]
    pub fn was_served(&self) -> bool {
        match &self.outcome {
            Outcome::Answered(status) => *status < 500,
            Outcome::LeftSite(_) => true,
            Outcome::BadRedirect { .. } | Outcome::NoAnswer(_) => false,
        }
    }
}

impl fmt::Display for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        match &self.outcome {
            Outcome::Answered(status) => write!(f, "{url} answers with {status}"),
            Outcome::LeftSite(to) => write!(f, "{url} redirects to {to}"),
            Outcome::BadRedirect { to, why } => write!(f, "{url} redirects to {to}, where no server answers: {why}"),
            Outcome::NoAnswer(why) => write!(f, "{url} does not answer: {why}"),
        }
    }
}

/// Visits `path` on each host, as a browser does when a user enters the bare host name, and follows redirects between
/// the hosts. Sends `headers` with each request.
///
/// # Errors
/// If curl cannot be run.
pub(crate) fn visit(
    hosts: &[String],
    path: &str,
    endpoints: impl Fn(&str) -> Endpoints,
    headers: &[String],
) -> Result<Vec<Visit>> {
    let mut pending: Vec<_> = hosts
        .iter()
        .map(|host| {
            let scheme = if endpoints(host).http.is_some() { "http" } else { "https" };
            PendingVisit {
                start: format!("{scheme}://{host}{path}"),
                next: Some(format!("{scheme}://{host}{path}")),
                ..PendingVisit::default()
            }
        })
        .collect();
    for _ in 0..=MAX_REDIRECTS {
        step(&mut pending, &endpoints, headers)?;
    }
    Ok(pending
        .into_iter()
        .map(|visit| Visit {
            url: visit.start,
            outcome: visit.outcome.unwrap_or_else(|| Outcome::BadRedirect {
                to: visit.next.unwrap_or_default(),
                why: "redirect loop".to_owned(),
            }),
            untrusted: visit.untrusted,
        })
        .collect())
}

#[derive(Default)]
struct PendingVisit {
    start: String,
    next: Option<String>,
    redirected: bool,
    outcome: Option<Outcome>,
    untrusted: Option<String>,
}

/// Makes the next request of every pending visit. One curl makes all requests to the same address.
fn step(visits: &mut [PendingVisit], endpoints: &impl Fn(&str) -> Endpoints, headers: &[String]) -> Result<()> {
    let mut places: Vec<(Transport, Vec<usize>)> = Vec::new();
    for (index, visit) in visits.iter_mut().enumerate().filter(|(_, visit)| visit.outcome.is_none()) {
        let url = visit.next.clone().unwrap_or_default();
        let Some((scheme, host, port)) = parse_url(&url) else {
            visit.outcome = Some(Outcome::BadRedirect { to: url, why: "it is not an http or https URL".to_owned() });
            continue;
        };
        let Endpoints { http, https } = endpoints(&host);
        if http.is_none() && https.is_none() {
            visit.outcome = Some(Outcome::LeftSite(url));
            continue;
        }
        let transport = if scheme == "https" { https } else { http };
        let listens_there = |transport: &Transport| match (transport, port) {
            (Transport::Tcp(address), Some(port)) => address.ends_with(&format!(":{port}")),
            _ => true,
        };
        match transport.filter(listens_there) {
            Some(transport) => match places.iter_mut().find(|(other, _)| *other == transport) {
                Some((_, indices)) => indices.push(index),
                None => places.push((transport, vec![index])),
            },
            None => {
                let why = match port {
                    Some(port) => format!("nginx does not serve {host} on port {port}"),
                    None if scheme == "https" => format!("nginx does not serve {host} with HTTPS"),
                    None => format!("nginx does not serve {host} without HTTPS"),
                };
                visit.outcome = Some(match visit.redirected {
                    true => Outcome::BadRedirect { to: url, why },
                    false => Outcome::NoAnswer(why),
                });
            }
        }
    }
    for (transport, indices) in places {
        let urls: Vec<_> = indices.iter().map(|index| visits[*index].next.clone().unwrap_or_default()).collect();
        let answers = request(&transport, &urls, headers)?;
        for (index, answer) in indices.into_iter().zip(answers) {
            let visit = &mut visits[index];
            if answer.untrusted {
                visit.untrusted.clone_from(&visit.next);
            }
            match answer.redirect {
                Some(to) => {
                    visit.redirected = true;
                    visit.next = Some(to);
                }
                None if answer.status == 0 && visit.redirected => {
                    visit.outcome =
                        Some(Outcome::BadRedirect { to: visit.next.clone().unwrap_or_default(), why: answer.error });
                }
                None if answer.status == 0 => visit.outcome = Some(Outcome::NoAnswer(answer.error)),
                None => visit.outcome = Some(Outcome::Answered(answer.status)),
            }
        }
    }
    Ok(())
}

/// The scheme, the host and, if it is not the default, the port of an address.
fn parse_url(url: &str) -> Option<(&str, String, Option<u16>)> {
    let (scheme, rest) = url.split_once("://")?;
    if scheme != "http" && scheme != "https" {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
        _ => (authority, None),
    };
    let port = port.filter(|port| *port != if scheme == "https" { 443 } else { 80 });
    Some((scheme, host.to_ascii_lowercase(), port))
}

struct Answer {
    status: u16,
    redirect: Option<String>,
    untrusted: bool,
    error: String,
}

/// The line that curl writes for each address.
const FORMAT: &str = "%{http_code}\t%{ssl_verify_result}\t%{redirect_url}\t%{errormsg}\n";

/// Requests addresses with curl, one after the other.
fn request(transport: &Transport, urls: &[String], headers: &[String]) -> Result<Vec<Answer>> {
    let mut curl = std::process::Command::new("curl");
    curl.args(["--disable", "--silent", "--globoff", "--insecure", "--noproxy", "*", "--max-time", TIMEOUT_SECONDS]);
    curl.args(["--write-out", FORMAT, "--user-agent", "gatling"]);
    match transport {
        Transport::Tcp(address) => curl.args(["--connect-to", &format!("::{address}")]),
        Transport::Unix(path) => curl.arg("--unix-socket").arg(path),
    };
    for header in headers {
        curl.args(["--header", header]);
    }
    for url in urls {
        curl.args(["--output", "/dev/null", url]);
    }
    let output = curl
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .context("cannot run curl: install it with `apt-get install curl`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let answers: Vec<_> = text.lines().map(answer).collect();
    if answers.len() != urls.len() {
        bail!("curl reported {} of {} requests", answers.len(), urls.len());
    }
    Ok(answers)
}

fn answer(line: &str) -> Answer {
    let mut fields = line.split('\t');
    let mut field = || fields.next().unwrap_or_default().to_owned();
    let status = field().parse().unwrap_or(0);
    let verified = field();
    let redirect = Some(field()).filter(|to| !to.is_empty());
    Answer { status, redirect, untrusted: !matches!(verified.as_str(), "" | "0"), error: field() }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// A web server that answers each host and path as `answers` says.
    fn server(answers: &'static [(&'static str, &'static str)]) -> Transport {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has one").to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client");
                let mut asked = vec![0; 4096];
                let length = stream.read(&mut asked).expect("it asks");
                let asked = String::from_utf8_lossy(&asked[..length]).into_owned();
                let host = asked.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap_or_default();
                let path = format!("{host}{}", asked.split(' ').nth(1).unwrap_or_default());
                let head =
                    answers.iter().find(|(known, _)| path == *known).map_or("404 Not Found\r\n", |(_, head)| head);
                _ = write!(stream, "HTTP/1.1 {head}Content-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Transport::Tcp(address)
    }

    fn outcomes(answers: &'static [(&'static str, &'static str)], hosts: &[&str]) -> Vec<Outcome> {
        let server = server(answers);
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let own = hosts.clone();
        let endpoints = move |host: &str| match own.iter().any(|own| own == host) {
            true => Endpoints { http: Some(server.clone()), https: None },
            false => Endpoints::default(),
        };
        visit(&hosts, "/", endpoints, &[]).expect("curl runs").into_iter().map(|visit| visit.outcome).collect()
    }

    #[test]
    fn each_host_is_requested_by_its_name_and_redirects_are_followed() {
        let outcomes = outcomes(
            &[
                ("a.example/", "200 OK\r\n"),
                ("b.example/", "302 Found\r\nLocation: http://a.example/\r\n"),
                ("c.example/", "301 Moved\r\nLocation: /login\r\n"),
                ("c.example/login", "500 Oops\r\n"),
                ("d.example/", "302 Found\r\nLocation: https://id.example.org/\r\n"),
            ],
            &["a.example", "b.example", "c.example", "d.example", "e.example"],
        );
        let left = Outcome::LeftSite("https://id.example.org/".to_owned());
        let answered = Outcome::Answered;
        assert_eq!(outcomes, [answered(200), answered(200), answered(500), left, answered(404)]);
    }

    #[test]
    fn a_redirect_to_an_address_without_a_server_is_a_bad_redirect() {
        let outcomes = outcomes(
            &[
                ("a.example/", "301 Moved\r\nLocation: https://a.example/\r\n"),
                ("b.example/", "301 Moved\r\nLocation: http://b.example/\r\n"),
                ("c.example/", "301 Moved\r\nLocation: http://c.example:4000/\r\n"),
            ],
            &["a.example", "b.example", "c.example"],
        );
        let reasons = ["does not serve a.example with HTTPS", "redirect loop", "on port 4000"];
        for (outcome, part) in outcomes.iter().zip(reasons) {
            assert!(matches!(outcome, Outcome::BadRedirect { why, .. } if why.contains(part)), "{outcome:?}");
        }
    }

    #[test]
    fn a_missing_answer_is_reported_with_its_reason() {
        let endpoints = |_: &str| Endpoints { http: Some(Transport::Tcp("127.0.0.1:1".to_owned())), https: None };
        let visits = visit(&["a.example".to_owned()], "/", endpoints, &[]).expect("curl runs");
        assert!(!visits[0].was_served() && visits[0].to_string().contains("does not answer"), "{}", visits[0]);
    }
}
