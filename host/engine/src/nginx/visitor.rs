//! A visitor: asks nginx for a page as a browser would, follows redirects, and says what it saw.
//!
//! curl asks: it speaks TLS, and the machine's own certificates are those that it trusts.

use std::fmt;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use gatling_nginx::{Door, Transport};

/// How long one answer may take, in seconds.
const PATIENCE: &str = "10";

/// How many redirects are followed.
const MOST_REDIRECTS: usize = 6;

/// What a visitor of a host name saw in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// An answer with this status.
    Answer(u16),
    /// A redirect to a site of somebody else's.
    Elsewhere(String),
    /// A redirect that leads nowhere, and why.
    Nowhere {
        /// Where it leads.
        to: String,
        /// Why nobody answers there.
        why: String,
    },
    /// No answer, and why.
    Silence(String),
}

/// What a visitor saw, and on which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The address that the visitor typed.
    pub url: String,
    /// What there was to see.
    pub sight: Sight,
    /// An address on the way whose certificate this machine doesn't trust.
    pub untrusted: Option<String>,
}

impl Visit {
    /// Whether the visitor was served.
    #[must_use]
    pub fn went_well(&self) -> bool {
        match &self.sight {
            Sight::Answer(status) => *status < 500,
            Sight::Elsewhere(_) => true,
            Sight::Nowhere { .. } | Sight::Silence(_) => false,
        }
    }
}

impl fmt::Display for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        match &self.sight {
            Sight::Answer(status) => write!(f, "{url} answers with {status}"),
            Sight::Elsewhere(to) => write!(f, "{url} redirects to {to}"),
            Sight::Nowhere { to, why } => write!(f, "{url} redirects to {to}, where nobody answers: {why}"),
            Sight::Silence(why) => write!(f, "{url} does not answer: {why}"),
        }
    }
}

/// Visits `path` on each host as a browser would that was given the bare name, and follows redirects
/// among the hosts. `headers` are sent along.
///
/// # Errors
/// When curl can't be run.
pub(crate) fn visit(
    hosts: &[String],
    path: &str,
    door: impl Fn(&str) -> Door,
    headers: &[String],
) -> Result<Vec<Visit>> {
    let mut under_way: Vec<_> = hosts
        .iter()
        .map(|host| {
            let scheme = if door(host).http.is_some() { "http" } else { "https" };
            UnderWay {
                start: format!("{scheme}://{host}{path}"),
                next: Some(format!("{scheme}://{host}{path}")),
                ..UnderWay::default()
            }
        })
        .collect();
    for _ in 0..=MOST_REDIRECTS {
        step(&mut under_way, &door, headers)?;
    }
    Ok(under_way
        .into_iter()
        .map(|visit| Visit {
            url: visit.start,
            sight: visit.sight.unwrap_or_else(|| Sight::Nowhere {
                to: visit.next.unwrap_or_default(),
                why: "the redirects go in a circle".to_owned(),
            }),
            untrusted: visit.untrusted,
        })
        .collect())
}

#[derive(Default)]
struct UnderWay {
    start: String,
    next: Option<String>,
    redirected: bool,
    sight: Option<Sight>,
    untrusted: Option<String>,
}

/// Takes every visit that isn't over one request further; requests that come in at the same place
/// are made by one curl.
fn step(visits: &mut [UnderWay], door: &impl Fn(&str) -> Door, headers: &[String]) -> Result<()> {
    let mut places: Vec<(Transport, Vec<usize>)> = Vec::new();
    for (index, visit) in visits.iter_mut().enumerate().filter(|(_, visit)| visit.sight.is_none()) {
        let url = visit.next.clone().unwrap_or_default();
        let Some((scheme, host, port)) = parts(&url) else {
            visit.sight = Some(Sight::Nowhere { to: url, why: "it is not the address of a web page".to_owned() });
            continue;
        };
        let Door { http, https } = door(&host);
        if http.is_none() && https.is_none() {
            visit.sight = Some(Sight::Elsewhere(url));
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
                    Some(port) => format!("nginx does not serve {host} at port {port}"),
                    None if scheme == "https" => format!("nginx does not serve {host} with HTTPS"),
                    None => format!("nginx does not serve {host} without HTTPS"),
                };
                visit.sight = Some(match visit.redirected {
                    true => Sight::Nowhere { to: url, why },
                    false => Sight::Silence(why),
                });
            }
        }
    }
    for (transport, indices) in places {
        let urls: Vec<_> = indices.iter().map(|index| visits[*index].next.clone().unwrap_or_default()).collect();
        let answers = ask(&transport, &urls, headers)?;
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
                    visit.sight =
                        Some(Sight::Nowhere { to: visit.next.clone().unwrap_or_default(), why: answer.error });
                }
                None if answer.status == 0 => visit.sight = Some(Sight::Silence(answer.error)),
                None => visit.sight = Some(Sight::Answer(answer.status)),
            }
        }
    }
    Ok(())
}

/// The scheme, the host and the port, if there is one, of an address.
fn parts(url: &str) -> Option<(&str, String, Option<u16>)> {
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

/// What curl writes for each address.
const FORMAT: &str = "%{http_code}\t%{ssl_verify_result}\t%{redirect_url}\t%{errormsg}\n";

/// Asks for addresses, one after the other.
fn ask(transport: &Transport, urls: &[String], headers: &[String]) -> Result<Vec<Answer>> {
    let mut curl = std::process::Command::new("curl");
    curl.args(["--disable", "--silent", "--globoff", "--insecure", "--noproxy", "*", "--max-time", PATIENCE]);
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
        bail!("curl answered {} of {} requests", answers.len(), urls.len());
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

    /// A web server that answers each path as `answers` says, and tells the host it was asked for.
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

    fn seen(answers: &'static [(&'static str, &'static str)], hosts: &[&str]) -> Vec<Sight> {
        let server = server(answers);
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let own = hosts.clone();
        let door = move |host: &str| match own.iter().any(|own| own == host) {
            true => Door { http: Some(server.clone()), https: None },
            false => Door::default(),
        };
        visit(&hosts, "/", door, &[]).expect("curl runs").into_iter().map(|visit| visit.sight).collect()
    }

    #[test]
    fn each_host_is_asked_for_by_its_name_and_redirects_are_followed() {
        let sights = seen(
            &[
                ("a.example/", "200 OK\r\n"),
                ("b.example/", "302 Found\r\nLocation: http://a.example/\r\n"),
                ("c.example/", "301 Moved\r\nLocation: /login\r\n"),
                ("c.example/login", "500 Oops\r\n"),
                ("d.example/", "302 Found\r\nLocation: https://id.example.org/\r\n"),
            ],
            &["a.example", "b.example", "c.example", "d.example", "e.example"],
        );
        let elsewhere = Sight::Elsewhere("https://id.example.org/".to_owned());
        let answer = Sight::Answer;
        assert_eq!(sights, [answer(200), answer(200), answer(500), elsewhere, answer(404)]);
    }

    #[test]
    fn a_redirect_to_where_nobody_answers_leads_nowhere() {
        let sights = seen(
            &[
                ("a.example/", "301 Moved\r\nLocation: https://a.example/\r\n"),
                ("b.example/", "301 Moved\r\nLocation: http://b.example/\r\n"),
                ("c.example/", "301 Moved\r\nLocation: http://c.example:4000/\r\n"),
            ],
            &["a.example", "b.example", "c.example"],
        );
        let whys = ["does not serve a.example with HTTPS", "in a circle", "at port 4000"];
        for (sight, part) in sights.iter().zip(whys) {
            assert!(matches!(sight, Sight::Nowhere { why, .. } if why.contains(part)), "{sight:?}");
        }
    }

    #[test]
    fn silence_is_told_with_its_reason() {
        let door = |_: &str| Door { http: Some(Transport::Tcp("127.0.0.1:1".to_owned())), https: None };
        let visits = visit(&["a.example".to_owned()], "/", door, &[]).expect("curl runs");
        assert!(!visits[0].went_well() && visits[0].to_string().contains("does not answer"), "{}", visits[0]);
    }
}
