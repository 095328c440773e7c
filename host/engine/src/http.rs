//! A minimal HTTP client for servers on this machine.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a server on this machine may take for each step of an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer is read, in bytes.
const MAX_ANSWER: u64 = 64 * 1024;

/// Requests a path of a host from `address`, and returns the status and the body.
///
/// # Errors
/// If there is no answer, or it is not HTTP.
pub(crate) fn get(address: &str, host: &str, path: &str) -> Result<(u16, String)> {
    get_with(address, host, path, None)
}

/// As [`get`], with one more header.
///
/// # Errors
/// As [`get`].
pub(crate) fn get_with(address: &str, host: &str, path: &str, header: Option<&str>) -> Result<(u16, String)> {
    let header = header.map(|header| format!("{header}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n{header}Connection: close\r\n\r\n");
    let stream = send(address, &request)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    Ok((status(head)?, body.to_owned()))
}

/// The `Server` header of the server at `address`, if it sends one.
///
/// # Errors
/// If there is no answer.
pub(crate) fn server(address: &str, host: &str) -> Result<Option<String>> {
    let stream = send(address, &format!("HEAD / HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"))?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let headers = answer.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut servers = headers.filter(|(name, _)| name.eq_ignore_ascii_case("server"));
    Ok(servers.next().map(|(_, value)| value.trim().to_owned()))
}

/// Requests a WebSocket from `address`, as a page of `origin` would, and returns the status of the answer: 101 if the
/// server accepts.
///
/// # Errors
/// If there is no answer, or it is not HTTP.
pub(crate) fn upgrade(address: &str, host: &str, path: &str, origin: &str) -> Result<u16> {
    let mut stream = send(
        address,
        // The example key of RFC 6455; any other would do.
        &format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nX-Forwarded-Proto: https\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ),
    )?;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.contains(&b'\n') && (head.len() as u64) < MAX_ANSWER {
        match stream.read(&mut buffer)? {
            0 => break,
            length => head.extend_from_slice(&buffer[..length]),
        }
    }
    status(&String::from_utf8_lossy(&head))
}

fn send(address: &str, request: &str) -> Result<TcpStream> {
    let mut addresses = address.to_socket_addrs().with_context(|| format!("{address} is not an address"))?;
    let address = addresses.next().context("the address cannot be resolved")?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

fn status(head: &str) -> Result<u16> {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer is not HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server for one request: it answers with `answer` and returns the request.
    fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has one").to_string();
        let serve = move || {
            let (mut stream, _) = listener.accept().expect("a client connects");
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).expect("it sends a request");
            stream.write_all(answer.as_bytes()).expect("it reads the answer");
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        (address, std::thread::spawn(serve))
    }

    #[test]
    fn a_request_names_the_host_and_returns_status_and_body() {
        let (address, served) = server("HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nno such\r\n\r\npage");
        assert_eq!(get(&address, "www.example.com", "/x").expect("an answer"), (404, "no such\r\n\r\npage".to_owned()));
        let request = served.join().expect("no panic");
        assert!(request.starts_with("GET /x HTTP/1.0\r\nHost: www.example.com\r\n"), "{request}");
    }

    #[test]
    fn a_websocket_request_returns_after_the_status_line() {
        let (address, served) = server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(upgrade(&address, "a.example", "/live/websocket", "https://a.example").expect("an answer"), 101);
        assert!(served.join().expect("no panic").contains("\r\nOrigin: https://a.example\r\n"));
    }

    #[test]
    fn an_answer_that_is_not_http_is_an_error() {
        let (address, _served) = server("SSH-2.0-OpenSSH\r\n");
        get(&address, "h", "/").expect_err("it is ssh");
    }
}
