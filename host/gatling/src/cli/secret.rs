//! Reading a value that is not to be seen: from standard input, or from whoever sits at it.

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

/// No value is longer than this, in bytes.
const LONGEST: u64 = 1024 * 1024;
/// A terminal hands over no more of one line than this, in bytes.
const LONGEST_TYPED: usize = 4095;
/// A control character that turns a key of the terminal off.
const NO_KEY: u8 = 0;

/// The value of `name`: all of standard input without the final line end, or a line that somebody
/// types unseen.
pub(super) fn read(name: &str) -> Result<String> {
    if io::stdin().is_terminal() { ask(name) } else { read_all(io::stdin().lock()) }
}

fn read_all(input: impl Read) -> Result<String> {
    let mut bytes = Vec::new();
    input.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        bail!("it is longer than 1 MB");
    }
    let text = String::from_utf8(bytes).ok().context("it must be text in UTF-8")?;
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

fn ask(name: &str) -> Result<String> {
    let signal = Arc::new(AtomicUsize::new(0));
    for wanted in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        flag::register_usize(wanted, Arc::clone(&signal), usize::try_from(wanted)?)?;
    }
    let line = {
        let _unseen = Unseen::start()?;
        eprint!("Value of {name}: ");
        io::stderr().flush()?;
        typed_line(&signal)?
    };
    eprintln!();
    match line {
        Ok(line) if line.len() >= LONGEST_TYPED => {
            bail!("a terminal takes no more than {LONGEST_TYPED} bytes: read it from a file, with `{name}=- <FILE`")
        }
        Ok(line) => Ok(without_line_end(line)),
        Err(signal) => {
            // As if nothing had waited for the signal, now that the terminal is as before.
            emulate_default_handler(signal)?;
            bail!("it was interrupted by signal {signal}")
        }
    }
}

/// The line that is typed, or the signal that came first.
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

/// A terminal that does not show what is typed, until this is dropped.
struct Unseen(Termios);

impl Unseen {
    fn start() -> Result<Self> {
        let before = tcgetattr(io::stdin()).context("cannot ask the terminal for its settings")?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        // Stopped with Ctrl-Z, it would leave the terminal like this.
        unseen.special_codes[SpecialCodeIndex::VSUSP] = NO_KEY;
        tcsetattr(io::stdin(), OptionalActions::Flush, &unseen).context("cannot keep the terminal from showing it")?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // Nothing is left to be done about a terminal that is gone.
        _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_all_that_comes_without_the_final_line_end() {
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
    fn a_value_that_is_too_long_or_no_text_is_refused() {
        let longest = "x".repeat(1024 * 1024);
        assert_eq!(read_all(longest.as_bytes()).expect("it is as long as it may be"), longest);
        let error = read_all(io::repeat(b'x')).expect_err("it has no end").to_string();
        assert!(error.contains("1 MB"), "{error}");
        let error = read_all(&b"\xff"[..]).expect_err("it is not text").to_string();
        assert!(error.contains("UTF-8"), "{error}");
    }
}
