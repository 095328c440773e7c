//! Just enough HTTP to ask a server on this machine whether it is there.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a server on this machine may take for each step of an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// As much of an answer as anybody here wants to see.
const LONGEST: u64 = 64 * 1024;

/// Asks `address` for a path of a host, and returns the status and the body.
///
/// # Errors
/// When there is no answer, or none that is HTTP.
pub(crate) fn get(address: &str, host: &str, path: &str) -> Result<(u16, String)> {
    let stream = send(address, &format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"))?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    Ok((status(head)?, body.to_owned()))
}

/// What the server at `address` calls itself, if it does.
///
/// # Errors
/// When there is no answer.
pub(crate) fn server(address: &str, host: &str) -> Result<Option<String>> {
    let stream = send(address, &format!("HEAD / HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"))?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let headers = answer.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut servers = headers.filter(|(name, _)| name.eq_ignore_ascii_case("server"));
    Ok(servers.next().map(|(_, value)| value.trim().to_owned()))
}

/// Asks `address` for a WebSocket, as a page of `origin` would, and returns the status of the answer:
/// 101 where it gets one.
///
/// # Errors
/// When there is no answer, or none that is HTTP.
pub(crate) fn upgrade(address: &str, host: &str, path: &str, origin: &str) -> Result<u16> {
    let mut stream = send(
        address,
        // The key is the one of RFC 6455: nothing depends on it.
        &format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nX-Forwarded-Proto: https\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ),
    )?;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.contains(&b'\n') && (head.len() as u64) < LONGEST {
        match stream.read(&mut buffer)? {
            0 => break,
            length => head.extend_from_slice(&buffer[..length]),
        }
    }
    status(&String::from_utf8_lossy(&head))
}

fn send(address: &str, request: &str) -> Result<TcpStream> {
    let mut addresses = address.to_socket_addrs().with_context(|| format!("{address} is no address"))?;
    let address = addresses.next().context("there is no such address")?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

fn status(head: &str) -> Result<u16> {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer is no HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server for one request: it answers with `answer` and returns what it was asked.
    fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has one").to_string();
        let serve = move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut asked = vec![0; 1024];
            let length = stream.read(&mut asked).expect("they ask");
            stream.write_all(answer.as_bytes()).expect("they listen");
            String::from_utf8_lossy(&asked[..length]).into_owned()
        };
        (address, std::thread::spawn(serve))
    }

    #[test]
    fn status_and_body_come_back_and_the_host_is_named() {
        let (address, served) = server("HTTP/1.1 404 Not Found\r\nA: b\r\n\r\nno such\r\n\r\npage");
        assert_eq!(get(&address, "www.example.com", "/x").expect("an answer"), (404, "no such\r\n\r\npage".to_owned()));
        let asked = served.join().expect("no panic");
        assert!(asked.starts_with("GET /x HTTP/1.0\r\nHost: www.example.com\r\n"), "{asked}");
    }

    #[test]
    fn whether_a_websocket_is_refused_is_known_without_waiting_for_its_end() {
        let (address, served) = server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(upgrade(&address, "a.example", "/live/websocket", "https://a.example").expect("an answer"), 101);
        assert!(served.join().expect("no panic").contains("\r\nOrigin: https://a.example\r\n"));
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        let (address, _served) = server("SSH-2.0-OpenSSH\r\n");
        get(&address, "h", "/").expect_err("it is ssh");
    }
}
