//! A visitor with a WebSocket, who asks again and again for the version.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{HOST, Seen};

/// The example of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Visits until it is to stop. A socket that ends is opened again; that this fails is an error.
pub(super) fn visit(port: u16, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut socket: Option<TcpStream> = None;
    while !stop.load(Ordering::Relaxed) {
        let open = match socket.take() {
            Some(open) => Ok(open),
            None => connect(port),
        };
        match open {
            Ok(mut open) => match ask(&mut open) {
                Ok(version) => {
                    seen.note(version);
                    socket = Some(open);
                }
                Err(_) => seen.ended += 1,
            },
            Err(error) => seen.errors.push(format!("opening a WebSocket: {error:#}")),
        }
        thread::sleep(Duration::from_millis(20));
    }
    seen
}

fn connect(port: u16) -> Result<TcpStream> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        socket,
        "GET /socket HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n\r\n"
    )?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte).context("reading the answer")?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    ensure!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "the answer is {head:?}");
    Ok(socket)
}

/// Sends a text of one letter, and returns the version in the answer.
fn ask(socket: &mut TcpStream) -> Result<String> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let [a, b, c, d] = MASK;
    socket.write_all(&[0x81, 0x81, a, b, c, d, b'v' ^ a])?;
    let mut head = [0; 2];
    socket.read_exact(&mut head)?;
    ensure!(head[0] == 0x81, "it is no text");
    let mut text = vec![0; head[1].into()];
    socket.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).trim_start_matches("hello ").to_owned())
}
