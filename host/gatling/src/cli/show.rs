//! How commands show runs.

use std::io::{self, IsTerminal as _, StdoutLock, Write as _};

use gatling_engine::run::follow::Show;
use gatling_report::{Options, Renderer, Verbosity, text};
use gatling_runs::{Entry, JournalError};

/// How a run is shown
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct ShowArgs {
    /// Print the events of the run, one JSON object a line (docs/journal.md describes them)
    #[arg(long, conflicts_with_all = ["quiet", "verbose"])]
    pub(super) json: bool,
    /// Print only one line for each step and hook, warnings, and the outcome
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Print everything, including every command
    #[arg(short, long)]
    verbose: bool,
}

impl ShowArgs {
    /// Shows events on standard output.
    pub(super) fn on_stdout(self) -> Box<dyn Show> {
        if self.json { Box::new(Json) } else { Box::new(Text(Renderer::new(io::stdout().lock(), self.options()))) }
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
    // See no-color.org. A terminal without a name, or a dumb one, has no colours and no cursor movement.
    let is_capable = is_terminal && variable("TERM").is_some_and(|term| term != "dumb");
    let color = is_capable && variable("NO_COLOR").is_none();
    let width = match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if is_terminal && size.ws_col > 0 => usize::from(size.ws_col),
        _ => variable("COLUMNS").and_then(|columns| columns.to_str()?.parse().ok()).unwrap_or(text::WIDTH),
    };
    Options { verbosity: Verbosity::Normal, color, live: is_capable, width }
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
