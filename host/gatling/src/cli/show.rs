//! How commands show runs.

use std::io::{self, IsTerminal as _, StdoutLock, Write as _};
use std::sync::{Mutex, PoisonError};

use gatling_config::dotenv::Dotenv;
use gatling_engine::run::follow::Show;
use gatling_report::{Options, Renderer, Shown, Verbosity, text};
use gatling_runs::{Entry, Event, Events, JournalError, Redactor, Sink};

/// How a run is shown
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct ShowArgs {
    /// Print the events of the run, one JSON object a line (docs/journal.md describes them)
    #[arg(long, conflicts_with_all = ["quiet", "verbose"])]
    pub(super) json: bool,
    /// Print only a line for each step and hook, warnings, and how it ended
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Print everything, such as every command
    #[arg(short, long)]
    verbose: bool,
}

impl ShowArgs {
    /// What shows events on standard output.
    pub(super) fn on_stdout(self) -> Box<dyn Show> {
        if self.json { Box::new(Json) } else { Box::new(Text(Renderer::new(io::stdout().lock(), self.options()))) }
    }

    /// Events that are shown on standard output as they happen, without values of `.env`.
    pub(super) fn events(self, dotenv: &Dotenv) -> Events {
        let events = match self.json {
            true => Events::new(JsonLines::default()),
            false => Events::new(Shown::new(io::stdout(), self.options())),
        };
        events.hide(Redactor::new(dotenv.iter(), &[]));
        events
    }

    /// How events are shown as text on standard output.
    pub(super) fn options(self) -> Options {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        Options { verbosity, ..options() }
    }
}

/// How text is shown on standard output.
pub(super) fn options() -> Options {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let is_terminal = io::stdout().is_terminal();
    // See no-color.org. A terminal without a name, or a dumb one, has no colours and can't go back.
    let is_able = is_terminal && variable("TERM").is_some_and(|term| term != "dumb");
    let color = is_able && variable("NO_COLOR").is_none();
    let width = match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if is_terminal && size.ws_col > 0 => usize::from(size.ws_col),
        _ => variable("COLUMNS").and_then(|columns| columns.to_str()?.parse().ok()).unwrap_or(text::WIDTH),
    };
    Options { verbosity: Verbosity::Normal, color, live: is_able, width }
}

struct Text(Renderer<StdoutLock<'static>>);

impl Show for Text {
    fn show(&mut self, entry: &Entry) -> io::Result<()> {
        self.0.show(entry)
    }

    fn damaged(&mut self, error: &JournalError) -> io::Result<()> {
        self.0.show_damage(error)
    }

    fn tick(&mut self) -> io::Result<()> {
        self.0.tick()
    }

    fn end(&mut self) -> io::Result<()> {
        self.0.clear_live()
    }
}

/// Events as lines of JSON.
#[derive(Default)]
struct JsonLines(Mutex<Redactor>);

impl Sink for JsonLines {
    fn take(&self, mut event: Event) {
        let redactor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        event.change_texts(|text| redactor.redact(text));
        // What happens goes on when nobody reads of it any more.
        _ = Json.show(&Entry::now(event));
    }

    fn hide(&self, redactor: Redactor) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = redactor;
    }
}

struct Json;

impl Show for Json {
    fn show(&mut self, entry: &Entry) -> io::Result<()> {
        let line = serde_json::to_string(entry).map_err(io::Error::other)?;
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }

    fn damaged(&mut self, error: &JournalError) -> io::Result<()> {
        writeln!(io::stderr(), "gatling: a part of the journal cannot be read: {error}")
    }
}
