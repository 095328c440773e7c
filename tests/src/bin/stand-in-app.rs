//! A stand-in for an app's release: answers every request with the version that it was started with. Its only use is to
//! start faster than a real one. Like a real one, it takes a moment to stop, and can be upgraded in place.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;
use std::{env, process, thread};

use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

/// How long it takes to stop.
const STOP_TIME: Duration = Duration::from_millis(300);

fn main() {
    let args: Vec<_> = env::args().skip(1).collect();
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(0_u16);
    match args.get(1).map(String::as_str) {
        Some("eval") => {}
        Some("rpc") => println!("{}", ask(port, args.get(2).map_or("", String::as_str))),
        _ => serve(port, args.first().map_or("", String::as_str)),
    }
}

/// Has the running app evaluate code.
fn ask(port: u16, code: &str) -> String {
    let answer = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.write_all(format!("EVALUATE {code}").as_bytes()).ok()?;
        stream.shutdown(std::net::Shutdown::Write).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    };
    answer().unwrap_or_else(|| "the node is down".to_owned())
}

fn serve(port: u16, version: &str) {
    let mut signals = Signals::new([SIGTERM]).expect("signals can be handled");
    thread::spawn(move || {
        signals.forever().next();
        thread::sleep(STOP_TIME);
        process::exit(0);
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let mut version = version.to_owned();
    // What shows which release runs.
    let mut marker = None;
    for mut client in listener.incoming().flatten() {
        // A visitor who does not send a request must not keep the others waiting.
        _ = client.set_read_timeout(Some(Duration::from_secs(1)));
        let mut request = [0; 4096];
        let Some(length) = client.read(&mut request).ok().filter(|read| *read > 0) else { continue };
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let answer = match request.strip_prefix("EVALUATE ") {
            Some(code) if code.contains("script_id") => format!("gatling-version {version}"),
            Some(code) => {
                let answer = upgrade(code, &mut marker);
                if let Some(new) = answer.strip_prefix("upgraded to ") {
                    new.clone_into(&mut version);
                }
                answer
            }
            None => {
                let body = format!("hello {version}\n");
                let length = body.len();
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            }
        };
        // The visitor may have gone.
        _ = client.write_all(answer.as_bytes());
    }
}

/// Does what the call of `Gatling.InPlace.run` in the code asks for: see in-place.exs.
fn upgrade(code: &str, marker: &mut Option<File>) -> String {
    let texts: Vec<_> = code.split('"').skip(1).step_by(2).collect();
    let [_, _, to, _, _, file, ..] = texts.as_slice() else { return "cannot: no such code".to_owned() };
    let data = fs::read_to_string(Path::new(to).join("releases/start_erl.data")).unwrap_or_default();
    let Some((_, version)) = data.trim().split_once(' ') else { return "cannot: no release".to_owned() };
    if version.ends_with("-crashes") {
        // As Erlang, if a process cannot change its state.
        thread::spawn(|| {
            thread::sleep(STOP_TIME);
            process::exit(1);
        });
        return "failed: code_change".to_owned();
    }
    *marker = if file.is_empty() { None } else { File::open(file).ok() };
    format!("upgraded to {version}")
}
