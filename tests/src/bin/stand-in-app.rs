//! A stand-in for an app's release: answers every request with the version that it was started with. Its only use is to
//! start faster than a real one. Like a real one, it takes a moment to stop.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;
use std::{env, process, thread};

use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

/// How long it takes to stop.
const STOP_TIME: Duration = Duration::from_millis(300);

fn main() {
    let mut signals = Signals::new([SIGTERM]).expect("signals can be handled");
    thread::spawn(move || {
        signals.forever().next();
        thread::sleep(STOP_TIME);
        process::exit(0);
    });
    let version = env::args().nth(1).unwrap_or_default();
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0_u16);
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let body = format!("hello {version}\n");
    for mut client in listener.incoming().flatten() {
        // A visitor who does not send a request must not keep the others waiting.
        _ = client.set_read_timeout(Some(Duration::from_secs(1)));
        if client.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // The visitor may have gone.
            _ = client.write_all((head + &body).as_bytes());
        }
    }
}
