//! The log of a run: lines for people, written as things happen.

use std::borrow::Cow;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a line begins with that stays in the log file and isn't shown to whoever follows it.
pub const DEBUG_PREFIX: &str = "  debug: ";

/// What the line holds that says why a run failed.
pub const FAILURE_MARK: &str = " failed: ";

/// Where the lines of a run go. Clones write to the same place.
#[derive(Clone)]
pub struct RunLog {
    state: Arc<Mutex<State<dyn Write + Send>>>,
    /// Whether it takes what is for those who look for a fault.
    debugs: bool,
}

struct State<W: ?Sized> {
    /// What was begun and has written nothing yet: where nothing comes, its end shares its line.
    title: Option<String>,
    /// Lines for those who look for a fault, which don't end that wait.
    debug: String,
    out: W,
}

impl RunLog {
    /// A log that writes to `out`.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self { state: Arc::new(Mutex::new(State { title: None, debug: String::new(), out })), debugs: true }
    }

    /// This log without what is for those who look for a fault.
    #[must_use]
    pub fn without_debug(self) -> Self {
        Self { debugs: false, ..self }
    }

    /// A line, or several, as they are.
    pub fn line(&self, text: &str) {
        self.state().show(&prefixed("", text));
    }

    /// What belongs to the step or hook that was begun last: what it runs, and what that writes.
    pub fn output(&self, text: &str) {
        self.state().show(&prefixed("    ", text));
    }

    /// For those who look for a fault.
    pub fn debug(&self, text: &str) {
        if !self.debugs {
            return;
        }
        let mut state = self.state();
        let lines = prefixed(DEBUG_PREFIX, text);
        if state.title.is_some() { state.debug.push_str(&lines) } else { state.show(&lines) }
    }

    /// A step or hook begins.
    pub fn begin(&self, title: &str) {
        self.state().title = Some(title.to_owned());
    }

    /// The step or hook that was begun last ends.
    pub fn end(&self, how: &str) {
        let mut state = self.state();
        match state.title.take() {
            Some(title) => state.show(&format!("{title:<40} {how}\n")),
            None => state.show(&format!("  {how}\n")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<dyn Write + Send + 'static>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Write + ?Sized> State<W> {
    fn show(&mut self, lines: &str) {
        let mut text = self.title.take().map(|title| title + "\n").unwrap_or_default();
        if text.is_empty() {
            text.push_str(lines);
            text.push_str(&std::mem::take(&mut self.debug));
        } else {
            text.push_str(&std::mem::take(&mut self.debug));
            text.push_str(lines);
        }
        // A log on a full disk must not end a deployment that can still go well.
        _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

fn prefixed(prefix: &str, text: &str) -> String {
    let mut lines = String::with_capacity(text.len() + prefix.len() + 1);
    for line in text.split('\n') {
        let line = line.trim_end_matches('\r');
        if !line.is_empty() {
            lines.push_str(prefix);
            lines.push_str(line);
        }
        lines.push('\n');
    }
    lines
}

/// A text from somebody who is not trusted, so that it only shows: a terminal that a log is read in
/// takes some characters for commands, such as to go back and write over another line. Colours are
/// left out, and other such characters are spelled, as `\u{1b}`; line ends and tabs stay.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    let commands = |c: char| c.is_control() && c != '\n' && c != '\t';
    // These have what follows written backwards.
    let directions = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shows = |c: char| !commands(c) && !directions(c);
    if text.chars().all(shows) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if let Some(after) = rest.strip_prefix('[').filter(|_| c == '\u{1b}') {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == ':');
            if let Some(after) = after.strip_prefix('m') {
                rest = after;
                continue;
            }
        }
        match c {
            // Some end their lines like this.
            '\r' if rest.is_empty() || rest.starts_with('\n') => {}
            c if shows(c) => plain.push(c),
            c => plain.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(plain)
}

/// A time as people say it: `3 ms`, `0.7 s`, `2 min 5 s`.
#[must_use]
pub fn duration(time: Duration) -> String {
    match time.as_millis() {
        millis @ 0..100 => format!("{millis} ms"),
        millis @ 100..60_000 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        millis => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A log whose text a test can read.
    pub(crate) fn captured() -> (RunLog, Captured) {
        let captured = Captured::default();
        (RunLog::new(captured.clone()), captured)
    }

    #[derive(Clone, Default)]
    pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_line_of_a_text_is_a_line_of_the_log() {
        let (log, captured) = captured();
        log.output("one\ntwo\r\n\nthree");
        log.debug("four");
        assert_eq!(captured.text(), "    one\n    two\n\n    three\n  debug: four\n");
    }

    #[test]
    fn a_step_that_writes_has_its_output_below_its_name() {
        let (log, captured) = captured();
        log.begin("mix_compile");
        log.debug("why");
        log.output("Compiling");
        log.end("ok 1.0 s");
        assert_eq!(captured.text(), "mix_compile\n  debug: why\n    Compiling\n  ok 1.0 s\n");
    }

    #[test]
    fn a_step_that_writes_nothing_is_one_line() {
        let (log, captured) = captured();
        log.begin("make_upgrade_dir");
        log.debug("why");
        log.end("ok 1 ms");
        assert_eq!(captured.text(), format!("{:<40} ok 1 ms\n  debug: why\n", "make_upgrade_dir"));
    }

    #[test]
    fn what_a_terminal_would_take_for_commands_is_spelled_and_colours_are_left_out() {
        for (text, shown) in [
            ("größer\tthan\n🙂", "größer\tthan\n🙂"),
            ("\u{1b}[1;32mok\u{1b}[0m \u{1b}[38:5:1mno\u{1b}[m", "ok no"),
            ("over\rwritten", "over\\u{d}written"),
            ("one\r\ntwo\r", "one\ntwo"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("\u{9b}2J back\u{8} \u{202e}txt", "\\u{9b}2J back\\u{8} \\u{202e}txt"),
            ("\u{1b}[31", "\\u{1b}[31"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }

    #[test]
    fn times_are_told_as_people_tell_them() {
        for (millis, text) in [(0, "0 ms"), (99, "99 ms"), (100, "0.1 s"), (1990, "1.9 s"), (125_000, "2 min 5 s")] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
