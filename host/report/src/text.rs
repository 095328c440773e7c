//! The lines that people see of a run, while it runs and later.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use gatling_runs::{Entry, Event, Level, Outcome, Redactor, Serving, Sink};

use crate::wrap::wrap;
use gatling_text::{duration, duration_secs, escape, escape_line};

/// How wide lines are where nothing says otherwise: those of 80 columns, less what git puts before each
/// line that comes from a server.
pub const WIDTH: usize = 80 - "remote: ".len();

/// What stands before lines of steps' output and of what hooks write, and before no line of Gatling's.
const GUTTER: &str = "    | ";
/// What stands before lines of Gatling's about a step or hook.
const INDENT: &str = "    ";
/// The column in which a step that wrote nothing says how it went.
const OUTCOME_COLUMN: usize = 40;
/// How many of the steps and hooks that took longest are named at the end.
const LONGEST_NAMED: usize = 3;
/// What takes less than this, in seconds, is not named.
const WORTH_NAMING: f64 = 0.1;
/// Lines are not broken into pieces narrower than this, however deep they are indented.
const NARROWEST: usize = 20;
/// Lines keep no more than so many spaces of their own in front of them.
const DEEPEST: usize = 8;
/// No name of a step or hook is shown wider than this.
const WIDEST_NAME: usize = 60;
/// How often the line of what is under way is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// A line for each step and hook, warnings, and the end.
    Quiet,
    /// Commands and what they write too.
    #[default]
    Normal,
    /// What is only of interest to those who look for a fault too.
    Verbose,
}

/// How a run is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much is shown.
    pub verbosity: Verbosity,
    /// Whether there are colours.
    pub color: bool,
    /// Whether what is under way is shown in a last line that changes.
    pub live: bool,
    /// How many columns a line has.
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
    /// The step or hook that is under way.
    title: Option<Title>,
    /// What ended, and how long it took, in seconds.
    times: Vec<Time>,
    /// When the changing line was drawn, if it is there.
    drawn: Option<Instant>,
}

struct Title {
    text: String,
    /// Whether it was written already: something belongs below it.
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
    /// When it can't be written.
    pub fn show(&mut self, entry: &Entry) -> io::Result<()> {
        self.clear_live()?;
        self.render(&entry.event)?;
        self.out.flush()
    }

    /// Shows that time goes by.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn tick(&mut self) -> io::Result<()> {
        let Some(title) = self.title.as_ref().filter(|_| self.options.live) else { return Ok(()) };
        // What is over at once needs no such line.
        if title.begun.elapsed() < REDRAW || self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return Ok(());
        }
        let line = format!("{} … {}", title.text, duration(title.begun.elapsed()));
        let line = clip(&line, self.options.width.saturating_sub(1));
        write!(self.out, "\r\x1b[K{}", self.paint(dim(), &line))?;
        self.drawn = Some(Instant::now());
        self.out.flush()
    }

    /// Takes the changing line away.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn clear_live(&mut self) -> io::Result<()> {
        if self.drawn.take().is_some() {
            write!(self.out, "\r\x1b[K")?;
        }
        Ok(())
    }

    /// Says that a part of the journal can't be read.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn show_damage(&mut self, error: &dyn std::error::Error) -> io::Result<()> {
        self.clear_live()?;
        self.own("  ", &format!("(a part of the journal cannot be read: {error})"))
    }

    fn render(&mut self, event: &Event) -> io::Result<()> {
        let verbose = self.options.verbosity == Verbosity::Verbose;
        let quiet = self.options.verbosity == Verbosity::Quiet;
        match event {
            Event::Begun { run, project, by, gatling, pipeline } => {
                self.project = escape_line(project);
                self.run = escape_line(run);
                self.pipeline.clone_from(pipeline);
                if verbose {
                    let text = format!(
                        "gatling {gatling}: run {} of {}, begun by {}",
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
                    [] => self.own("  ", &format!("hooks: {file} has none for this pipeline")),
                    hooks => self.own("  ", &format!("hooks: {file} with {}", escape_line(&hooks.join(", ")))),
                }
            }
            Event::StepBegun { step } => self.begin(name(step), false),
            Event::HookBegun { hook, file } => {
                self.begin(clip(&format!("{}  ({})", name(hook), name(file)), WIDEST_NAME), true)
            }
            Event::StepEnded { step, ok, seconds } => self.end(step, false, *ok, *seconds),
            Event::HookEnded { hook, ok, seconds } => self.end(hook, true, *ok, *seconds),
            Event::Command { line, quiet: only_verbose } if verbose || !only_verbose && !quiet => {
                let line = escape_line(line);
                if self.in_hook() {
                    self.own(INDENT, &format!("$ {line}"))
                } else {
                    self.painted(INDENT, dim(), &format!("$ {line}"))
                }
            }
            Event::CommandEnded { status, ok, seconds } if verbose && !ok => {
                self.own(INDENT, &format!("debug: it {} after {}", escape_line(status), duration_secs(*seconds)))
            }
            Event::Output { text, .. } if !quiet => self.output(text),
            Event::OutputCut { bytes } if !quiet => {
                self.own(INDENT, &format!("({bytes} bytes of output are left out here: it was too much to keep)"))
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
            Event::GrantUsed { what, .. } if verbose => self.own(INDENT, &format!("debug: {}", escape_line(what))),
            Event::GrantRefused { message, .. } if !quiet => self.own(INDENT, &format!("denied: {}", escape(message))),
            Event::Undone { ok, .. } if verbose => {
                self.own(INDENT, &format!("debug: {}", if *ok { "undone" } else { "could not be undone" }))
            }
            Event::Ended { .. } => self.ended(event),
            _ => Ok(()),
        }
    }

    fn headline(&mut self, event: &Event) -> io::Result<()> {
        let Event::Planned { pipeline, version, release, previous, branch, commit, .. } = event else { return Ok(()) };
        self.pipeline = Some(pipeline.clone());
        self.release = escape_line(release);
        let what = match previous {
            Some(previous) if pipeline == "upgrade" => format!("upgrade from {}", escape_line(previous)),
            _ => escape_line(pipeline),
        };
        let source = match commit.as_str() {
            "" => String::new(),
            commit => format!("  {} {}", escape_line(branch), short(&escape_line(commit))),
        };
        let version = if version.is_empty() { String::new() } else { format!(" {}", escape_line(version)) };
        let project = self.project.clone();
        self.painted("", bold(), &format!("gatling: {project}{version}{source}  {what}"))
    }

    fn begin(&mut self, text: String, is_hook: bool) -> io::Result<()> {
        self.title = Some(Title { text, written: false, is_hook, begun: Instant::now() });
        Ok(())
    }

    fn end(&mut self, name: &str, is_hook: bool, ok: bool, seconds: f64) -> io::Result<()> {
        self.times.push(Time { name: clip(&escape_line(name), WIDEST_NAME), is_hook, seconds });
        let word = if ok { self.paint(green(), "ok") } else { self.paint(red(), "FAILED") };
        let how = format!("{word} {}", duration_secs(seconds));
        let line = match self.title.take() {
            Some(title) if !title.written => {
                let space = " ".repeat(OUTCOME_COLUMN.saturating_sub(title.text.chars().count()).max(1));
                format!("{}{space} {how}", self.paint(title_style(title.is_hook), &title.text))
            }
            _ => format!("  {how}"),
        };
        writeln!(self.out, "{line}")
    }

    fn in_hook(&self) -> bool {
        self.title.as_ref().is_some_and(|title| title.is_hook)
    }

    /// What a program or a hook wrote.
    fn output(&mut self, text: &str) -> io::Result<()> {
        self.write_title()?;
        let gutter = self.paint(dim(), GUTTER.trim_end());
        let width = self.options.width.saturating_sub(GUTTER.len());
        for line in escape(text).split('\n') {
            // A hook could have the rest of a long line look like one of Gatling's; the output of a step's own
            // programs is left as people can copy it.
            let pieces = if self.in_hook() { wrap(line, width, width) } else { vec![line.to_owned()] };
            for piece in pieces {
                writeln!(self.out, "{}", format!("{gutter} {piece}").trim_end())?;
            }
        }
        Ok(())
    }

    /// Something of Gatling's own, where it belongs.
    fn note(&mut self, kind: &str, text: &str) -> io::Result<()> {
        let text = format!("{kind}{}", escape(text));
        if self.title.is_some() { self.own(INDENT, &text) } else { self.own("", &format!("gatling: {text}")) }
    }

    /// Lines of Gatling's own, of which all but the first are indented further. None is wider than the
    /// terminal.
    fn own(&mut self, indent: &str, text: &str) -> io::Result<()> {
        self.painted(indent, Style::new(), text)
    }

    fn painted(&mut self, indent: &str, style: Style, text: &str) -> io::Result<()> {
        self.write_title()?;
        let mut first = true;
        for line in text.split('\n') {
            let own = (line.len() - line.trim_start_matches(' ').len()).min(DEEPEST);
            let base = format!("{indent}{}", " ".repeat(own));
            let base = if first { base } else { format!("{base}{}", if own == 0 { "  " } else { "" }) };
            let hanging = format!("{base}  ");
            let room = |indent: &str| self.options.width.saturating_sub(indent.len()).max(NARROWEST);
            for (number, piece) in wrap(&line[own..], room(&base), room(&hanging)).iter().enumerate() {
                let before = if number == 0 { &base } else { &hanging };
                writeln!(self.out, "{before}{}", self.paint(style, piece))?;
            }
            first = false;
        }
        Ok(())
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        self.own("", text)
    }

    /// What is written now belongs to the step or hook that is under way.
    fn write_title(&mut self) -> io::Result<()> {
        let Some(title) = self.title.as_mut().filter(|title| !title.written) else { return Ok(()) };
        title.written = true;
        let (text, style) = (title.text.clone(), title_style(title.is_hook));
        writeln!(self.out, "{}", self.paint(style, &text))
    }

    fn ended(&mut self, event: &Event) -> io::Result<()> {
        let Event::Ended { outcome, seconds, error, serving, again, places, .. } = event else { return Ok(()) };
        // A step that was cut short has no end of its own.
        self.write_title()?;
        self.title = None;
        let project = self.project.clone();
        match outcome {
            Outcome::Unchanged => Ok(()),
            Outcome::Succeeded => {
                let what = match (self.pipeline.as_deref(), places.as_slice()) {
                    (Some("unload"), _) => format!("{project} is unloaded"),
                    (_, []) => format!("{project} {} is serving", self.release),
                    (_, places) => {
                        format!("{project} {} is serving at {}", self.release, escape_line(&places.join(", ")))
                    }
                };
                self.painted("", bold(), &format!("gatling: {what}"))?;
                if self.pipeline.as_deref() == Some("unload") {
                    self.own("  ", "Its database was left alone.")?;
                }
                let work = self.work(*seconds);
                self.painted("  ", dim(), &work)
            }
            Outcome::Failed | Outcome::Cancelled => {
                let what = self.pipeline.clone().unwrap_or_else(|| "the run".to_owned());
                let how = if *outcome == Outcome::Failed { "failed" } else { "was cancelled" };
                let why = match error.split_first() {
                    Some((first, _)) => format!(": {}", escape(first)),
                    None => String::new(),
                };
                self.painted("", red(), &format!("gatling: {what} of {project} {how}{why}"))?;
                for cause in error.iter().skip(1) {
                    self.own("  ", &format!("because {}", escape(cause)))?;
                }
                if let Some(serving) = serving {
                    self.own("  ", &say_serving(&project, serving))?;
                }
                if let Some(again) = again {
                    self.advice(again)?;
                }
                let run = self.run.clone();
                self.own("  ", &format!("Its whole log: `gatling log {project} {run}`"))
            }
        }
    }

    fn advice(&mut self, again: &str) -> io::Result<()> {
        let again = escape_line(again);
        if self.pipeline.as_deref() == Some("unload") {
            return self.own("  ", &format!("Fix it, and go on with: `{again}`"));
        }
        self.own("  ", "Fix it and push again.")?;
        self.own("  ", &format!("To try the same commit again, run on the server: `{again}`"))
    }

    /// How much was done, how long it took, and what of it took longest.
    fn work(&self, total: f64) -> String {
        let hooks = self.times.iter().filter(|time| time.is_hook).count();
        let counted = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        let steps = counted(self.times.len() - hooks, "step");
        let mut longest: Vec<_> = self.times.iter().filter(|time| time.seconds >= WORTH_NAMING).collect();
        longest.sort_by(|one, two| two.seconds.total_cmp(&one.seconds));
        longest.truncate(LONGEST_NAMED);
        let parts: Vec<_> =
            longest.iter().map(|time| format!("{} {}", time.name, duration_secs(time.seconds))).collect();
        let most = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        format!("{steps}, {}, {}{most}", counted(hooks, "hook"), duration_secs(total))
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.options.color && style != Style::new() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// What serves, for people.
#[must_use]
pub fn say_serving(project: &str, serving: &Serving) -> String {
    match serving {
        Serving::Serving { release } => format!("{project} {} is serving.", escape_line(release)),
        Serving::Unserved { release, why } => {
            format!("{project} {} runs, but visitors are NOT served: {}", escape_line(release), escape(why))
        }
        Serving::Unknown { release, why } => format!(
            "{project} {} runs; whether visitors are served is not known: {}",
            escape_line(release),
            escape(why)
        ),
        Serving::Down { release, start } => format!(
            "{project} is NOT serving: its release {} does not answer. Start it with: `{}`",
            escape_line(release),
            escape_line(start)
        ),
        Serving::NotDeployed => format!("{project} is not deployed: nothing serves."),
    }
}

/// The name of a step, hook or file.
fn name(name: &str) -> String {
    clip(&escape_line(name), WIDEST_NAME)
}

/// The beginning of a text, if it is wider than so many columns.
fn clip(text: &str, width: usize) -> String {
    let mut pieces = wrap(text, width, width);
    if pieces.len() == 1 { pieces.swap_remove(0) } else { wrap(text, width - 1, width).swap_remove(0) + "…" }
}

/// A commit as people say it.
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

/// Shows events as they happen, without a journal between.
pub struct Shown<W>(Mutex<(Renderer<W>, Redactor)>);

impl<W: Write> Shown<W> {
    /// Shows events on `out`.
    pub fn new(out: W, options: Options) -> Self {
        Self(Mutex::new((Renderer::new(out, options), Redactor::default())))
    }
}

impl<W: Write + Send> Sink for Shown<W> {
    fn take(&self, mut event: Event) {
        let (renderer, redactor) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        event.change_texts(|text| redactor.redact(text));
        // What happens goes on when nobody reads of it any more.
        _ = renderer.show(&Entry::now(event));
    }

    fn hide(&self, redactor: Redactor) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = redactor;
    }
}

#[cfg(test)]
mod tests;
