//! Reads a secret value, from standard input or from a prompt on the terminal.

use std::io::{self, IsTerminal as _, Read, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::emulate_default_handler;

/// The maximum length of a value, in bytes.
const MAX_LENGTH: u64 = 1024 * 1024;
/// The maximum length of a line from a terminal, in bytes.
const MAX_TYPED_LENGTH: usize = 4095;
/// Disables a key of the terminal.
const NO_KEY: u8 = 0;

/// Reads the value of `name`: all of standard input without the final line end, or, if that is a terminal, a line
/// that is not shown while it is typed.
pub(super) fn read(name: &str) -> Result<String> {
    if io::stdin().is_terminal() { prompt(name) } else { read_all(io::stdin().lock()) }
}

fn read_all(input: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    input.take(MAX_LENGTH + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_LENGTH {
        bail!("the value must not be longer than 1 MB");
    }
    let text = String::from_utf8(bytes).ok().context("the value must be text in UTF-8")?;
    Ok(without_line_end(text))
}

fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

fn prompt(name: &str) -> Result<String> {
    let signal = Arc::new(AtomicUsize::new(0));
    for wanted in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        flag::register_usize(wanted, Arc::clone(&signal), usize::try_from(wanted)?)?;
    }
    let line = {
        let _echo_off = EchoOff::start()?;
        eprint!("Value of {name}: ");
        io::stderr().flush()?;
        typed_line(&signal)?
    };
    eprintln!();
    match line {
        Ok(line) if line.len() >= MAX_TYPED_LENGTH => {
            bail!(
                "a terminal accepts at most {MAX_TYPED_LENGTH} bytes per line: read the value from a file with `{name}=- <FILE`"
            )
        }
        Ok(line) => Ok(without_line_end(line)),
        Err(signal) => {
            // The terminal is restored, so the signal may now have its usual effect.
            emulate_default_handler(signal)?;
            bail!("interrupted by signal {signal}")
        }
    }
}

/// The typed line, or the signal that arrived before it.
fn typed_line(signal: &AtomicUsize) -> Result<Result<String, i32>> {
    let (send, line) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        send.send(io::stdin().read_line(&mut text).map(|_| text))
    });
    loop {
        match line.recv_timeout(Duration::from_millis(20)) {
            Ok(line) => return Ok(Ok(line?)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => unreachable!("the thread sends before it ends"),
        }
        let signal = signal.load(Ordering::Relaxed);
        if signal != 0 {
            return Ok(Err(i32::try_from(signal)?));
        }
    }
}

/// Turns off the terminal's echo until it is dropped.
struct EchoOff(Termios);

impl EchoOff {
    fn start() -> Result<Self> {
        let before = tcgetattr(io::stdin()).context("cannot read the terminal's settings")?;
        let mut echo_off = before.clone();
        echo_off.local_modes.remove(LocalModes::ECHO);
        // If Ctrl-Z stopped this program, the terminal would stay without echo.
        echo_off.special_codes[SpecialCodeIndex::VSUSP] = NO_KEY;
        tcsetattr(io::stdin(), OptionalActions::Flush, &echo_off).context("cannot turn off the terminal's echo")?;
        Ok(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // An error is ignored: the terminal may have been closed.
        _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_all_of_the_input_without_the_final_line_end() {
        for (input, value) in [
            ("one", "one"),
            ("one\n", "one"),
            ("one\r\n", "one"),
            ("one\n\n", "one\n"),
            (" one\ntwo ", " one\ntwo "),
            ("one\r", "one\r"),
            ("-\n", "-"),
            ("\n", ""),
            ("", ""),
        ] {
            assert_eq!(read_all(input.as_bytes()).expect(input), value, "{input:?}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_or_not_text_is_an_error() {
        let longest = "x".repeat(1024 * 1024);
        assert_eq!(read_all(longest.as_bytes()).expect("it has the maximum length"), longest);
        let error = read_all(io::repeat(b'x')).expect_err("it is too long").to_string();
        assert!(error.contains("1 MB"), "{error}");
        let error = read_all(&b"\xff"[..]).expect_err("it is not text").to_string();
        assert!(error.contains("UTF-8"), "{error}");
    }
}
