//! A WebSocket through nginx that is silent for longer than nginx's default timeout.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::generated;

/// Longer than the default of `proxy_read_timeout`.
const LENGTH: Duration = Duration::from_secs(65);

/// The echo at the end, or why there was none.
type Echo = Result<Vec<u8>, String>;

/// A connection that is silent in its own thread while other tests run.
pub(crate) struct Silence(Mutex<Option<JoinHandle<Echo>>>);

impl Silence {
    /// Connects, and is silent.
    pub(crate) fn begin(port: u16, host: &str, path: &str) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let head = read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        Self(Mutex::new(Some(thread::spawn(move || {
            thread::sleep(LENGTH);
            let mut echo = vec![0; ECHO.len()];
            let spoken = stream.write_all(&TEXT).and_then(|()| stream.read_exact(&mut echo));
            spoken.map(|()| echo).map_err(|error| error.to_string())
        }))))
    }

    fn end(&self) -> Echo {
        let thread = self.0.lock().unwrap().take().expect("only one test waits for it");
        thread.join().unwrap()
    }
}

/// The text "still" as a client sends it: masked, here with zeros.
const TEXT: [u8; 11] = *b"\x81\x85\0\0\0\0still";

/// The same as a server sends it.
const ECHO: [u8; 7] = *b"\x81\x05still";

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_web_socket_that_is_silent_for_more_than_a_minute_stays_open() {
    let echo = generated::server().silence.end();
    assert_eq!(echo.as_deref(), Ok(ECHO.as_slice()));
}
