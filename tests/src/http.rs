//! Requests to a web server on this machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The status and the body that 127.0.0.1:`port` answers to a GET of `path` on `host`.
pub fn get(port: u16, host: &str, path: &str) -> Result<(u16, String)> {
    let answer =
        exchange(port, host, path).with_context(|| format!("asking http://127.0.0.1:{port}{path} as {host}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no end of headers")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("the answer has no status: {head}"))?;
    Ok((status, body.to_owned()))
}

/// A free port on 127.0.0.1.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}

/// A port on 127.0.0.1 that this program listens on until it exits. It closes every connection.
pub fn taken_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("taking a port")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || listener.incoming().for_each(drop));
    Ok(port)
}

fn exchange(port: u16, host: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    // In HTTP/1.0 the body is never chunked, and its end is the end of the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
