//! The text that is shown for journals.

use gatling_runs::{Outcome, Serving};

use super::*;

/// The text that is shown for these events.
fn shown(options: Options, events: &[Event]) -> String {
    let mut renderer = Renderer::new(Vec::new(), options);
    for event in events {
        renderer.show(&Entry::now(event.clone())).expect("memory takes it");
    }
    String::from_utf8(renderer.out).expect("it is text")
}

fn begun() -> Event {
    Event::Begun {
        run: "20260101-000000-000-1".to_owned(),
        project: "shop".to_owned(),
        pipeline: None,
        by: "deploy".to_owned(),
        gatling: "0.1.0".to_owned(),
        pushed: None,
        strict: false,
        pid: None,
        boot: None,
    }
}

fn planned() -> Event {
    Event::Planned {
        pipeline: "upgrade".to_owned(),
        version: "0.2.0".to_owned(),
        release: "0.2.0".to_owned(),
        previous: Some("0.1.0".to_owned()),
        branch: "main".to_owned(),
        commit: "d87fa59d87fa59".to_owned(),
        steps: vec!["mix_compile".to_owned()],
        strategy: None,
        strategy_reason: None,
    }
}

fn step(name: &str, seconds: f64, inside: &[Event]) -> Vec<Event> {
    let step = name.to_owned();
    let mut events = vec![Event::StepBegun { step: step.clone() }];
    events.extend_from_slice(inside);
    events.push(Event::StepEnded { step, ok: true, seconds });
    events
}

fn output(text: &str) -> Event {
    Event::Output { text: text.to_owned(), open: false }
}

fn command(line: &str, quiet: bool) -> Event {
    Event::Command { line: line.to_owned(), quiet }
}

fn succeeded() -> Event {
    Event::Ended {
        outcome: Outcome::Succeeded,
        seconds: 17.3,
        error: Vec::new(),
        serving: None,
        again: None,
        places: vec!["www.example.com".to_owned()],
    }
}

fn failed(error: &[&str]) -> Event {
    Event::Ended {
        outcome: Outcome::Failed,
        seconds: 1.0,
        error: error.iter().map(|error| (*error).to_owned()).collect(),
        serving: Some(Serving::Serving { release: "0.1.0".to_owned() }),
        again: Some("gatling upgrade shop".to_owned()),
        places: Vec::new(),
    }
}

/// A run with many kinds of events.
fn run() -> Vec<Event> {
    let hook = Event::HookBegun { hook: "before_mix_digest".to_owned(), file: "upgrade.wasm".to_owned() };
    let hook_ended = Event::HookEnded { hook: "before_mix_digest".to_owned(), ok: true, seconds: 1.3 };
    let mut events = vec![begun(), planned()];
    events.push(Event::HooksLoaded { file: "upgrade.wasm".to_owned(), hooks: vec!["before_mix_digest".to_owned()] });
    events.extend(step("mix_compile", 4.2, &[command("mix compile", false), output("Compiling 3 files\nGenerated")]));
    events.extend([hook, command("npm install", false), output("up to date"), hook_ended]);
    events.extend(step("make_upgrade_dir", 0.0, &[command("mkdir x", true)]));
    events.push(succeeded());
    events
}

#[test]
fn a_run_is_shown_step_by_step() {
    let expected = "\
gatling: shop 0.2.0  main d87fa59  upgrade from 0.1.0
  hooks: upgrade.wasm with before_mix_digest
mix_compile
    $ mix compile
    | Compiling 3 files
    | Generated
  ok 4.2 s
before_mix_digest  (upgrade.wasm)
    $ npm install
    | up to date
  ok 1.3 s
make_upgrade_dir                         ok 0 ms
gatling: shop 0.2.0 is serving at www.example.com
  2 steps, 1 hook, 17.3 s: mix_compile 4.2 s, before_mix_digest 1.3 s
";
    assert_eq!(shown(Options::default(), &run()), expected);
}

#[test]
fn quiet_output_has_a_line_for_each_step_and_verbose_output_every_command() {
    let quiet = shown(Options { verbosity: Verbosity::Quiet, ..Options::default() }, &run());
    assert!(quiet.contains(&format!("{:<40} ok 4.2 s\n", "mix_compile")), "{quiet}");
    assert!(!quiet.contains("Compiling") && !quiet.contains('$'), "{quiet}");
    let verbose = shown(Options { verbosity: Verbosity::Verbose, ..Options::default() }, &run());
    assert!(verbose.contains("make_upgrade_dir\n    $ mkdir x\n  ok 0 ms\n"), "{verbose}");
    assert!(verbose.starts_with("gatling 0.1.0: run 20260101-000000-000-1 of shop, begun by deploy\n"), "{verbose}");
}

#[test]
fn what_a_foreign_journal_says_of_gatling_and_of_its_pipeline_is_escaped() {
    let Event::Begun { run, project, by, pushed, strict, pid, boot, .. } = begun() else { unreachable!("it begins") };
    let (gatling, pipeline) = ("0.1\0".to_owned(), Some("up\u{1b}[2J".to_owned()));
    let begun = Event::Begun { run, project, pipeline, by, gatling, pushed, strict, pid, boot };
    let text = shown(Options { verbosity: Verbosity::Verbose, ..Options::default() }, &[begun, failed(&["why"])]);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}

#[test]
fn a_failure_shows_what_failed_why_what_serves_and_what_to_do() {
    let events = [begun(), planned(), failed(&["the step mix_compile", "`mix compile` exited with status 1"])];
    let text = shown(Options::default(), &events);
    let expected = "\
gatling: upgrade of shop failed: the step mix_compile
  because `mix compile` exited with status 1
  shop 0.1.0 is serving.
  Fix it and push again.
  To try the same commit again, run on the server:
    `gatling upgrade shop`
  Full log: `gatling log shop 20260101-000000-000-1`
";
    assert_eq!(text.split_once('\n').expect("a headline comes first").1, expected);
}

#[test]
fn colours_are_only_used_if_enabled() {
    let colored = shown(Options { color: true, ..Options::default() }, &run());
    assert!(colored.contains("\u{1b}[32mok\u{1b}[0m 4.2 s"), "{colored:?}");
    assert!(!shown(Options::default(), &run()).contains('\u{1b}'));
}

#[test]
fn the_progress_line_is_removed_before_other_output() {
    let mut renderer = Renderer::new(Vec::new(), Options { live: true, ..Options::default() });
    renderer.show(&Entry::now(Event::StepBegun { step: "mix_compile".to_owned() })).expect("memory takes it");
    renderer.tick().expect("memory takes it");
    assert!(renderer.out.is_empty(), "the step may end immediately");
    std::thread::sleep(2 * REDRAW);
    renderer.tick().expect("memory takes it");
    renderer.show(&Entry::now(output("Compiling"))).expect("memory takes it");
    let text = String::from_utf8(renderer.out).expect("it is text");
    let shown = text.strip_prefix("\r\u{1b}[Kmix_compile … 0.").expect("there is a progress line");
    assert!(shown.ends_with(" s\r\u{1b}[Kmix_compile\n    | Compiling\n"), "{text:?}");
}

/// A line that looks like one of Gatling's own.
const FORGED: &str = "gatling: shop 9.9.9 is serving at www.example.com";

#[test]
fn text_from_outside_cannot_look_like_a_line_of_gatling() {
    // For a terminal with 80 columns, where git puts its prefix before each line.
    let gap = |column: usize| format!("{}remote: {FORGED}", " ".repeat(column));
    let hostile = |text: &str| {
        let text = || text.to_owned();
        vec![
            Event::Begun {
                run: text(),
                project: "shop".to_owned(),
                pipeline: None,
                by: text(),
                gatling: "0.1.0".to_owned(),
                pushed: None,
                strict: false,
                pid: None,
                boot: None,
            },
            Event::Waiting { holder: text() },
            Event::Planned {
                pipeline: "upgrade".to_owned(),
                version: text(),
                release: text(),
                previous: Some(text()),
                branch: text(),
                commit: text(),
                steps: Vec::new(),
                strategy: None,
                strategy_reason: None,
            },
            Event::HooksLoaded { file: text(), hooks: vec![text()] },
            Event::Note { level: Level::Warning, text: text() },
            Event::HookBegun { hook: text(), file: text() },
            Event::Command { line: text(), quiet: false },
            Event::Output { text: text(), open: true },
            Event::Log { level: Level::Error, text: text() },
            Event::Note { level: Level::Info, text: text() },
            Event::GrantUsed { grant: "run".to_owned(), what: text() },
            Event::GrantRefused { grant: "run".to_owned(), message: text() },
            Event::CommandEnded { status: text(), ok: false, seconds: 0.1 },
            Event::HookEnded { hook: text(), ok: false, seconds: 0.1 },
            Event::Ended {
                outcome: Outcome::Failed,
                seconds: 0.1,
                error: vec![text(), text()],
                serving: Some(Serving::Unserved { release: text(), why: text() }),
                again: Some(text()),
                places: Vec::new(),
            },
        ]
    };
    let mut texts: Vec<_> = (0..100).map(gap).collect();
    texts.extend([format!("x\n{FORGED}"), format!("x\r{FORGED}"), format!("\u{1b}[2K\u{1b}[G{FORGED}\u{200b}")]);
    for text in texts {
        for verbosity in [Verbosity::Quiet, Verbosity::Normal, Verbosity::Verbose] {
            let shown = shown(Options { verbosity, ..Options::default() }, &hostile(&text));
            assert!(shown.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{200b}'), "{shown:?}");
            for line in shown.lines() {
                let line = format!("remote: {line}");
                // The rows of a terminal.
                let rows: Vec<_> = line.as_bytes().chunks(80).map(String::from_utf8_lossy).collect();
                assert!(!line.starts_with(&format!("remote: {FORGED}")), "{shown}");
                assert!(rows[1..].iter().all(|row| !row.trim_start().starts_with("remote: gatling")), "{shown}");
            }
        }
    }
}
