//! Visitors of hello who never stop, and notice everything.

mod socket;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};

use crate::Project;

const HOST: &str = "hello.example.com";

/// What a visitor does again and again.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// GET, on one connection.
    Get,
    /// POST with a body, on one connection.
    Post,
    /// GET, each time on a new connection.
    New,
    /// GET of a page that takes three seconds.
    Slow,
    /// POST with a body that takes three seconds to send.
    Upload,
    /// GET of a page that takes thirty seconds, a line each second.
    Stream,
    /// A WebSocket, which is opened again when it ends.
    Socket,
}

/// What a visitor has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// The versions that answered, each once for all answers in a row.
    pub versions: Vec<String>,
    /// When each of them answered first.
    pub since: Vec<SystemTime>,
    /// How many answers there were.
    pub answers: usize,
    /// What went wrong.
    pub errors: Vec<String>,
    /// How often a WebSocket ended.
    pub ended: usize,
    /// When each request of a [`Kind`] that asks for nothing slow was sent, and how long its answer took.
    pub times: Vec<(SystemTime, Duration)>,
}

impl Seen {
    /// When this version answered first.
    pub fn first(&self, version: &str) -> Option<SystemTime> {
        let place = self.versions.iter().position(|other| other == version)?;
        self.since.get(place).copied()
    }

    fn note(&mut self, version: String) {
        self.answers += 1;
        if self.versions.last() != Some(&version) {
            self.versions.push(version);
            self.since.push(SystemTime::now());
        }
    }
}

/// Visitors who visit until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    visitors: Vec<JoinHandle<Seen>>,
}

impl Load {
    /// So many visitors of each kind, who all visit nginx at this port.
    pub fn start(port: u16, kinds: &[(Kind, usize)]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let kinds = kinds.iter().flat_map(|(kind, number)| std::iter::repeat_n(*kind, *number));
        let visitors = kinds.map(|kind| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || visit(port, kind, &stop))
        });
        let visitors = visitors.collect();
        Self { stop, visitors }
    }

    /// Stops them, and returns what each has seen.
    pub fn stop(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.visitors.into_iter().map(|visitor| visitor.join().expect("a visitor panicked")).collect()
    }
}

fn visit(port: u16, kind: Kind, stop: &AtomicBool) -> Seen {
    if matches!(kind, Kind::Socket) {
        return socket::visit(port, stop);
    }
    let mut seen = Seen::default();
    let mut connection: Option<TcpStream> = None;
    while !stop.load(Ordering::Relaxed) {
        let (at, begun) = (SystemTime::now(), Instant::now());
        match request(port, kind, &mut connection) {
            Ok(version) => seen.note(version),
            Err(error) => {
                seen.errors.push(format!("{kind:?}: {error:#}"));
                connection = None;
            }
        }
        if !matches!(kind, Kind::Slow | Kind::Upload | Kind::Stream) {
            seen.times.push((at, begun.elapsed()));
        }
        thread::sleep(Duration::from_millis(2));
    }
    seen
}

/// Panics unless every visitor has seen these versions in this order, and nothing else.
pub fn check(seen: &[Seen], versions: &[&str]) {
    let errors: Vec<_> = seen.iter().flat_map(|seen| &seen.errors).collect();
    let answers: usize = seen.iter().map(|seen| seen.answers).sum();
    println!("{answers} answers, {} failed", errors.len());
    assert!(errors.is_empty(), "{} of {answers} failed: {:#?}", errors.len(), &errors[..errors.len().min(5)]);
    for seen in seen {
        // Who waits for seconds may miss a version.
        let mut all = versions.iter();
        assert!(seen.versions.iter().all(|version| all.any(|other| version == other)), "{seen:?}");
        assert_eq!(seen.versions.last().map(String::as_str), versions.last().copied(), "{seen:?}");
    }
}

/// Changes hello so that it has what visitors ask for: it accepts bodies, and has pages that take three seconds, or for
/// ever, a page that takes thirty seconds, and a WebSocket.
///
/// # Errors
/// If its files cannot be changed.
pub fn prepare(hello: &Project<'_>) -> Result<()> {
    hello.replace("lib/hello/router.ex", "[:GET, :HEAD]", "[:GET, :HEAD, :POST]")?;
    hello.replace("lib/hello/router.ex", "defp route(\"/\"), do:", PAGES)?;
    hello.replace("mix.exs", "extra_applications: [:logger]", "extra_applications: [:logger, :crypto]")?;
    let connection = "lib/hello/connection.ex";
    hello.replace(connection, "      {:ok, headers} ->\n        keep? =", LONG_REQUESTS)?;
    // Only values with names that Erlang knows are compared.
    let downcase = "String.downcase(value)";
    hello.replace(connection, downcase, &format!("if(is_atom(name), do: {downcase}, else: value)"))?;
    hello.write("lib/hello/long.ex", include_str!("load/long.ex"))
}

const LONG_REQUESTS: &str =
    "      {:ok, headers} when target in [{:abs_path, \"/stream\"}, {:abs_path, \"/socket\"}] ->
        Hello.Long.serve(socket, target, headers)

      {:ok, headers} ->
        keep? =";

const PAGES: &str = r#"defp route("/slow") do
    Process.sleep(3_000)
    route("/")
  end

  defp route("/endless") do
    Process.sleep(:infinity)
    route("/")
  end

  defp route("/"), do:"#;

/// One request, and the version in its answer.
fn request(port: u16, kind: Kind, connection: &mut Option<TcpStream>) -> Result<String> {
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting")?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            stream
        }
    };
    let request = match kind {
        Kind::Get => format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        Kind::New => format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"),
        Kind::Post => {
            let body = "x".repeat(1000);
            format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        }
        Kind::Slow => format!("GET /slow HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        Kind::Stream => format!("GET /stream HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        Kind::Socket => bail!("a WebSocket has no requests"),
        Kind::Upload => {
            let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3000000\r\n\r\n");
            stream.write_all(head.as_bytes()).context("sending")?;
            for _ in 0..30 {
                stream.write_all(&[b'x'; 100_000]).context("sending the body")?;
                thread::sleep(Duration::from_millis(100));
            }
            String::new()
        }
    };
    stream.write_all(request.as_bytes()).context("sending")?;
    let (head, body) = read_answer(&mut stream)?;
    if !head.starts_with("HTTP/1.1 200") {
        bail!("the answer is {:?}", head.lines().next());
    }
    // nginx ends a connection after some requests.
    if !head.to_ascii_lowercase().contains("connection: close") {
        *connection = Some(stream);
    }
    let (version, rest) = body.split_once('\n').unwrap_or((&body, ""));
    if rest.lines().any(|line| line != version) {
        bail!("an answer has lines of two versions: {body}");
    }
    Ok(version.trim_start_matches("hello ").to_owned())
}

/// Begins a request for a page of hello, whose answer nobody waits for.
pub fn begin(port: u16, path: &str, headers: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n").as_bytes())?;
    Ok(stream)
}

/// The head and the body of an answer that has a length.
pub fn read_answer(stream: &mut TcpStream) -> Result<(String, String)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok((head.to_owned(), body.to_owned()));
            }
        }
        match stream.read(&mut buffer).context("reading the answer")? {
            0 => bail!("the connection was closed after {} bytes of the answer", bytes.len()),
            count => bytes.extend(&buffer[..count]),
        }
    }
}
