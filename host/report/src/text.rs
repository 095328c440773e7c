//! A run as lines of text, while it is in progress and later.

mod end;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use gatling_runs::{Entry, Event, Level};

use crate::wrap::wrap;
pub use end::describe_serving;
use gatling_text::{duration, duration_secs, escape, escape_line};

/// The default width of lines: 80 columns, minus the prefix that git puts before each line from a server.
pub const WIDTH: usize = 80 - "remote: ".len();

/// The prefix of lines that programs and hooks write. None of Gatling's own lines has it.
const GUTTER: &str = "    | ";
/// The prefix of Gatling's own lines about a step or hook.
const INDENT: &str = "    ";
/// The column of the outcome, for a step without output.
const OUTCOME_COLUMN: usize = 40;
/// Lines are not broken into pieces narrower than this, at any indentation.
const MIN_WIDTH: usize = 20;
/// The maximum indentation that a line's own spaces can add.
const MAX_INDENT: usize = 8;
/// The maximum width of the name of a step or hook.
const MAX_NAME_WIDTH: usize = 60;
/// How often the progress line is redrawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// One line for each step and hook, warnings, and the outcome.
    Quiet,
    /// Also commands and their output.
    #[default]
    Normal,
    /// Also details for debugging.
    Verbose,
}

/// How a run is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much is shown.
    pub verbosity: Verbosity,
    /// Whether to use colours.
    pub color: bool,
    /// Whether to show a progress line.
    pub live: bool,
    /// The width of a line, in columns.
    pub width: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { verbosity: Verbosity::Normal, color: false, live: false, width: WIDTH }
    }
}

/// Shows events as lines of text.
pub struct Renderer<W> {
    out: W,
    options: Options,
    project: String,
    run: String,
    pipeline: Option<String>,
    release: String,
    /// The current step or hook.
    title: Option<Title>,
    /// How long each step and hook that has ended took.
    times: Vec<Time>,
    /// When the progress line was drawn, if it is shown.
    drawn: Option<Instant>,
}

struct Title {
    text: String,
    /// Whether it was already written, because there are lines below it.
    written: bool,
    is_hook: bool,
    begun: Instant,
}

struct Time {
    name: String,
    is_hook: bool,
    seconds: f64,
}

impl<W: Write> Renderer<W> {
    /// A renderer that writes to `out`.
    pub fn new(out: W, options: Options) -> Self {
        Self {
            out,
            options,
            project: String::new(),
            run: String::new(),
            pipeline: None,
            release: String::new(),
            title: None,
            times: Vec::new(),
            drawn: None,
        }
    }

    /// Shows an event.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn show(&mut self, entry: &Entry) -> io::Result<()> {
        self.clear_live()?;
        self.render(&entry.event)?;
        self.out.flush()
    }

    /// Redraws the progress line. Call it regularly.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn tick(&mut self) -> io::Result<()> {
        let Some(title) = self.title.as_ref().filter(|_| self.options.live) else { return Ok(()) };
        // A step that ends immediately needs no progress line.
        if title.begun.elapsed() < REDRAW || self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return Ok(());
        }
        let line = format!("{} … {}", title.text, duration(title.begun.elapsed()));
        let line = clip(&line, self.options.width.saturating_sub(1));
        write!(self.out, "\r\x1b[K{}", self.styled(dim(), &line))?;
        self.drawn = Some(Instant::now());
        self.out.flush()
    }

    /// Removes the progress line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn clear_live(&mut self) -> io::Result<()> {
        if self.drawn.take().is_some() {
            write!(self.out, "\r\x1b[K")?;
        }
        Ok(())
    }

    /// Reports that a part of the journal cannot be read.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn show_damage(&mut self, error: &dyn std::error::Error) -> io::Result<()> {
        self.clear_live()?;
        self.write("  ", &format!("(a part of the journal cannot be read: {error})"))
    }

    fn render(&mut self, event: &Event) -> io::Result<()> {
        let verbose = self.options.verbosity == Verbosity::Verbose;
        let quiet = self.options.verbosity == Verbosity::Quiet;
        match event {
            Event::Begun { run, project, by, gatling, pipeline, .. } => {
                self.project = escape_line(project);
                self.run = escape_line(run);
                self.pipeline.clone_from(pipeline);
                if verbose {
                    let text = format!(
                        "gatling {}: run {} of {}, begun by {}",
                        escape_line(gatling),
                        self.run,
                        self.project,
                        escape_line(by)
                    );
                    self.line(&text)?;
                }
                Ok(())
            }
            Event::Waiting { holder } => self.line(&format!("gatling: waiting for {}", escape_line(holder))),
            Event::Planned { .. } => self.headline(event),
            Event::HooksLoaded { file, hooks } => {
                let file = escape_line(file);
                match hooks.as_slice() {
                    [] => self.write("  ", &format!("hooks: {file} has none for this pipeline")),
                    hooks => self.write("  ", &format!("hooks: {file} with {}", escape_line(&hooks.join(", ")))),
                }
            }
            Event::StepBegun { step } => self.begin(name(step), false),
            Event::HookBegun { hook, file } => {
                self.begin(clip(&format!("{}  ({})", name(hook), name(file)), MAX_NAME_WIDTH), true)
            }
            Event::StepEnded { step, ok, seconds } => self.end(step, false, *ok, *seconds),
            Event::HookEnded { hook, ok, seconds } => self.end(hook, true, *ok, *seconds),
            Event::Command { line, quiet: only_verbose } if verbose || !only_verbose && !quiet => {
                let line = escape_line(line);
                if self.in_hook() {
                    self.write(INDENT, &format!("$ {line}"))
                } else {
                    self.write_styled(INDENT, dim(), &format!("$ {line}"))
                }
            }
            Event::CommandEnded { status, ok, seconds } if verbose && !ok => {
                self.write(INDENT, &format!("debug: it {} after {}", escape_line(status), duration_secs(*seconds)))
            }
            Event::Output { text, .. } if !quiet => self.output(text),
            Event::OutputCut { bytes } if !quiet => {
                self.write(INDENT, &format!("({bytes} bytes of output omitted: journal limit reached)"))
            }
            Event::Log { level, text } => match level {
                Level::Debug if !verbose => Ok(()),
                Level::Info if quiet => Ok(()),
                Level::Debug => self.output(&format!("debug: {text}")),
                Level::Info => self.output(text),
                Level::Warning => self.output(&format!("warning: {text}")),
                Level::Error => self.output(&format!("error: {text}")),
            },
            Event::Note { level, text } => match level {
                Level::Debug if !verbose => Ok(()),
                Level::Info if quiet => Ok(()),
                Level::Debug => self.note("debug: ", text),
                Level::Info => self.note("", text),
                Level::Warning => self.note("warning: ", text),
                Level::Error => self.note("error: ", text),
            },
            Event::GrantUsed { what, .. } if verbose => self.write(INDENT, &format!("debug: {}", escape_line(what))),
            Event::GrantRefused { message, .. } if !quiet => {
                self.write(INDENT, &format!("denied: {}", escape(message)))
            }
            Event::Undone { ok, .. } if verbose => {
                self.write(INDENT, &format!("debug: {}", if *ok { "undone" } else { "could not be undone" }))
            }
            Event::Ended { .. } => self.ended(event),
            _ => Ok(()),
        }
    }

    fn headline(&mut self, event: &Event) -> io::Result<()> {
        let Event::Planned { pipeline, version, release, previous, branch, commit, strategy, .. } = event else {
            return Ok(());
        };
        self.pipeline = Some(pipeline.clone());
        self.release = escape_line(release);
        let what = match previous {
            Some(previous) if pipeline == "upgrade" => {
                let strategy = strategy.as_ref().map(|name| format!(", {}", escape_line(name))).unwrap_or_default();
                format!("upgrade from {}{strategy}", escape_line(previous))
            }
            _ => escape_line(pipeline),
        };
        let source = match commit.as_str() {
            "" => String::new(),
            commit => format!("  {} {}", escape_line(branch), short(&escape_line(commit))),
        };
        let version = if version.is_empty() { String::new() } else { format!(" {}", escape_line(version)) };
        let project = self.project.clone();
        self.write_styled("", bold(), &format!("gatling: {project}{version}{source}  {what}"))
    }

    fn begin(&mut self, text: String, is_hook: bool) -> io::Result<()> {
        self.title = Some(Title { text, written: false, is_hook, begun: Instant::now() });
        Ok(())
    }

    fn end(&mut self, name: &str, is_hook: bool, ok: bool, seconds: f64) -> io::Result<()> {
        self.times.push(Time { name: clip(&escape_line(name), MAX_NAME_WIDTH), is_hook, seconds });
        let word = if ok { self.styled(green(), "ok") } else { self.styled(red(), "FAILED") };
        let how = format!("{word} {}", duration_secs(seconds));
        let line = match self.title.take() {
            Some(title) if !title.written => {
                let space = " ".repeat(OUTCOME_COLUMN.saturating_sub(title.text.chars().count()).max(1));
                format!("{}{space} {how}", self.styled(title_style(title.is_hook), &title.text))
            }
            _ => format!("  {how}"),
        };
        writeln!(self.out, "{line}")
    }

    fn in_hook(&self) -> bool {
        self.title.as_ref().is_some_and(|title| title.is_hook)
    }

    /// Output of a program or a hook.
    fn output(&mut self, text: &str) -> io::Result<()> {
        self.write_title()?;
        let gutter = self.styled(dim(), GUTTER.trim_end());
        let width = self.options.width.saturating_sub(GUTTER.len());
        for line in escape(text).split('\n') {
            // The rest of a long line could look like one of Gatling's own lines, so lines of hooks are wrapped. The
            // output of a step's own programs is not, so that users can copy it.
            let pieces = if self.in_hook() { wrap(line, width, width) } else { vec![line.to_owned()] };
            for piece in pieces {
                writeln!(self.out, "{}", format!("{gutter} {piece}").trim_end())?;
            }
        }
        Ok(())
    }

    /// A note from Gatling itself.
    fn note(&mut self, kind: &str, text: &str) -> io::Result<()> {
        let text = format!("{kind}{}", escape(text));
        if self.title.is_some() { self.write(INDENT, &text) } else { self.write("", &format!("gatling: {text}")) }
    }

    /// Gatling's own lines. All lines after the first are indented further, and none is wider than the terminal.
    fn write(&mut self, indent: &str, text: &str) -> io::Result<()> {
        self.write_styled(indent, Style::new(), text)
    }

    fn write_styled(&mut self, indent: &str, style: Style, text: &str) -> io::Result<()> {
        self.write_title()?;
        let mut first = true;
        for line in text.split('\n') {
            let own = (line.len() - line.trim_start_matches(' ').len()).min(MAX_INDENT);
            let base = format!("{indent}{}", " ".repeat(own));
            let base = if first { base } else { format!("{base}{}", if own == 0 { "  " } else { "" }) };
            let hanging = format!("{base}  ");
            let room = |indent: &str| self.options.width.saturating_sub(indent.len()).max(MIN_WIDTH);
            for (number, piece) in wrap(&line[own..], room(&base), room(&hanging)).iter().enumerate() {
                let before = if number == 0 { &base } else { &hanging };
                writeln!(self.out, "{before}{}", self.styled(style, piece))?;
            }
            first = false;
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        self.write("", text)
    }

    /// Writes the name of the current step or hook before its first line.
    fn write_title(&mut self) -> io::Result<()> {
        let Some(title) = self.title.as_mut().filter(|title| !title.written) else { return Ok(()) };
        title.written = true;
        let (text, style) = (title.text.clone(), title_style(title.is_hook));
        writeln!(self.out, "{}", self.styled(style, &text))
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.options.color && style != Style::new() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// The name of a step, hook or file.
fn name(name: &str) -> String {
    clip(&escape_line(name), MAX_NAME_WIDTH)
}

/// Cuts a text that is wider than `width` columns.
fn clip(text: &str, width: usize) -> String {
    let mut pieces = wrap(text, width, width);
    if pieces.len() == 1 { pieces.swap_remove(0) } else { wrap(text, width - 1, width).swap_remove(0) + "…" }
}

/// The short form of a commit id.
#[must_use]
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

fn title_style(is_hook: bool) -> Style {
    if is_hook { AnsiColor::Cyan.on_default() } else { bold() }
}

fn bold() -> Style {
    Style::new().bold()
}

fn dim() -> Style {
    Style::new().dimmed()
}

fn green() -> Style {
    AnsiColor::Green.on_default()
}

fn red() -> Style {
    AnsiColor::Red.on_default().bold()
}

#[cfg(test)]
mod tests;
