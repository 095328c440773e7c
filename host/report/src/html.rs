//! An HTML page about one run.

use anyhow::Result;
use gatling_runs::{Entry, Event, Level, Outcome, Serving};
use jiff::Timestamp;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use crate::tables::when;
use crate::text::{describe_serving, short};
use gatling_text::{duration_secs, escape, escape_line};

const TEMPLATE: &str = include_str!("../templates/report.html");

/// The minimum width of a bar, in percent of the timeline, so that it is visible.
const MIN_BAR_WIDTH: f64 = 0.4;

#[derive(Default, Serialize)]
struct Page {
    project: String,
    run: String,
    by: String,
    gatling: String,
    pipeline: String,
    version: String,
    previous: Option<String>,
    branch: String,
    commit: String,
    begun: String,
    /// `succeeded`, `failed` and so on.
    state: String,
    took: Option<String>,
    error: Vec<String>,
    serving: Option<String>,
    again: Option<String>,
    places: Vec<String>,
    parts: Vec<Part>,
    /// Lines that belong to no step, for example before the first one.
    notes: Vec<Line>,
    damaged: usize,
}

/// A step or hook.
#[derive(Serialize)]
struct Part {
    name: String,
    file: Option<String>,
    is_hook: bool,
    /// `ok`, `failed` or `unfinished`.
    state: &'static str,
    took: String,
    /// The position and the width of its bar, in percent of the timeline.
    #[serde(skip)]
    left: f64,
    #[serde(skip)]
    width: f64,
    /// The same as CSS.
    style: String,
    lines: Vec<Line>,
    /// How many lines of output it wrote.
    output: usize,
    #[serde(skip)]
    begun: Timestamp,
    #[serde(skip)]
    ended: Option<Timestamp>,
}

#[derive(Serialize)]
struct Line {
    /// `command`, `output`, `note`, `warning`, `error`, `denied`, `debug`.
    kind: &'static str,
    text: String,
}

/// A self-contained HTML page about a run. `damaged` is how many parts of its journal could not be read.
///
/// # Errors
/// If the template cannot be rendered, which would be a bug.
pub fn page(entries: &[Entry], damaged: usize) -> Result<String> {
    let mut page = Page { damaged, state: "unfinished".to_owned(), ..Page::default() };
    for entry in entries {
        page.add(entry);
    }
    page.scale_bars(entries);
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("report.html", TEMPLATE)?;
    Ok(environment.get_template("report.html")?.render(minijinja::Value::from(minijinja::value::Serde(&page)))?)
}

impl Page {
    fn add(&mut self, entry: &Entry) {
        match &entry.event {
            Event::Begun { run, project, by, gatling, pipeline, .. } => {
                self.run = escape_line(run);
                self.project = escape_line(project);
                self.by = escape_line(by);
                self.gatling = escape_line(gatling);
                self.pipeline = escape_line(pipeline.as_deref().unwrap_or("push"));
                self.begun = when(entry.at);
            }
            Event::Planned { pipeline, version, previous, branch, commit, .. } => {
                self.pipeline = escape_line(pipeline);
                self.version = escape_line(version);
                self.previous = previous.as_deref().map(escape_line);
                self.branch = escape_line(branch);
                self.commit = short(&escape_line(commit)).to_owned();
            }
            Event::Waiting { holder } => self.line("note", &format!("waiting for {holder}")),
            Event::StepBegun { step } => self.begin(step, None, entry.at),
            Event::HookBegun { hook, file } => self.begin(hook, Some(file), entry.at),
            Event::StepEnded { ok, seconds, .. } | Event::HookEnded { ok, seconds, .. } => {
                if let Some(part) = self.parts.last_mut() {
                    part.state = if *ok { "ok" } else { "failed" };
                    part.took = duration_secs(*seconds);
                    part.ended = Some(entry.at);
                }
            }
            Event::Command { line, .. } => self.line("command", line),
            Event::CommandEnded { status, ok: false, .. } => self.line("error", &format!("it {status}")),
            Event::Output { text, .. } => {
                if let Some(part) = self.parts.last_mut() {
                    part.output += text.split('\n').count();
                }
                self.line("output", text);
            }
            Event::OutputCut { bytes } => {
                self.line("note", &format!("({bytes} bytes of output omitted: journal limit reached)"))
            }
            Event::Log { level, text } | Event::Note { level, text } => self.line(
                match level {
                    Level::Debug => "debug",
                    Level::Info if matches!(entry.event, Event::Log { .. }) => "output",
                    Level::Info => "note",
                    Level::Warning => "warning",
                    Level::Error => "error",
                },
                text,
            ),
            Event::GrantUsed { what, .. } => self.line("debug", what),
            Event::GrantRefused { message, .. } => self.line("denied", &format!("denied: {message}")),
            Event::Ended { outcome, seconds, error, serving, again, places } => {
                self.state = match outcome {
                    Outcome::Succeeded => "succeeded",
                    Outcome::Failed => "failed",
                    Outcome::Cancelled => "cancelled",
                    Outcome::Unchanged => "unchanged",
                    Outcome::Superseded => "superseded",
                }
                .to_owned();
                self.took = Some(duration_secs(*seconds));
                self.error = error.iter().map(|error| escape(error).into_owned()).collect();
                self.serving = serving.as_ref().map(|serving: &Serving| describe_serving(&self.project, serving));
                self.again = again.as_deref().map(escape_line);
                self.places = places.iter().map(|place| escape_line(place)).collect();
            }
            _ => {}
        }
    }

    fn begin(&mut self, name: &str, file: Option<&String>, begun: Timestamp) {
        self.parts.push(Part {
            name: escape_line(name),
            file: file.map(|file| escape_line(file)),
            is_hook: file.is_some(),
            state: "unfinished",
            took: String::new(),
            left: 0.0,
            width: 0.0,
            style: String::new(),
            lines: Vec::new(),
            output: 0,
            begun,
            ended: None,
        });
    }

    /// Adds text to the current step or hook. Consecutive outputs are joined.
    fn line(&mut self, kind: &'static str, text: &str) {
        let is_over = self.parts.last().is_some_and(|part| part.ended.is_some());
        let lines = match self.parts.last_mut().filter(|_| !is_over) {
            Some(part) => &mut part.lines,
            None => &mut self.notes,
        };
        let text = escape(text);
        match lines.last_mut().filter(|last| last.kind == kind && kind == "output") {
            Some(last) => {
                last.text.push('\n');
                last.text.push_str(&text);
            }
            None => lines.push(Line { kind, text: text.into_owned() }),
        }
    }

    fn scale_bars(&mut self, entries: &[Entry]) {
        let Some((first, last)) = self.parts.first().map(|part| part.begun).zip(entries.last().map(|entry| entry.at))
        else {
            return;
        };
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64().max(0.0);
        let whole = seconds(first, last).max(0.001);
        for part in &mut self.parts {
            let width = seconds(part.begun, part.ended.unwrap_or(last)) / whole * 100.0;
            // If the clock was set back, the bar must still be on the page.
            part.width = width.clamp(MIN_BAR_WIDTH, 100.0);
            part.left = (seconds(first, part.begun) / whole * 100.0).clamp(0.0, 100.0 - part.width);
            part.style = format!("left:{:.2}%;width:{:.2}%", part.left, part.width);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, event: Event) -> Entry {
        Entry { at: Timestamp::from_second(1_767_225_600 + second).expect("a time"), ..Entry::now(event) }
    }

    fn ended(outcome: Outcome, error: &[&str]) -> Event {
        Event::Ended {
            outcome,
            seconds: 10.0,
            error: error.iter().map(|error| (*error).to_owned()).collect(),
            serving: None,
            again: None,
            places: vec!["www.example.com".to_owned()],
        }
    }

    fn step(begun: i64, end: i64, name: &str, text: &str) -> Vec<Entry> {
        let step = name.to_owned();
        vec![
            at(begun, Event::StepBegun { step: step.clone() }),
            at(begun, Event::Output { text: text.to_owned(), open: false }),
            at(end, Event::StepEnded { step, ok: true, seconds: (end - begun) as f64 }),
        ]
    }

    #[test]
    fn the_bars_of_steps_are_drawn_to_scale() {
        let mut entries = step(0, 2, "mix_compile", "Compiling");
        entries.extend(step(2, 8, "mix_digest", "x"));
        entries.push(at(8, ended(Outcome::Succeeded, &[])));
        let page = page(&entries, 0).expect("it can be filled in");
        assert!(page.contains("left:0.00%;width:25.00%"), "{page}");
        assert!(page.contains("left:25.00%;width:75.00%"), "{page}");
        assert!(page.contains("www.example.com") && page.contains("succeeded"), "{page}");
    }

    #[test]
    fn text_from_outside_is_escaped() {
        let hostile = "</pre><script>alert(1)</script>\u{202e}\"'&";
        let mut entries = step(0, 1, hostile, hostile);
        entries.push(at(1, ended(Outcome::Failed, &[hostile])));
        let page = page(&entries, 1).expect("it can be filled in");
        assert!(!page.contains("<script>") && !page.contains('\u{202e}'), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
    }

    #[test]
    fn a_killed_run_has_a_page_too() {
        let page = page(&step(0, 1, "mix_compile", "x")[..2], 0).expect("it can be filled in");
        assert!(page.contains("unfinished"), "{page}");
        assert!(super::page(&[], 3).expect("it can be filled in").contains("3 parts"));
    }
}
