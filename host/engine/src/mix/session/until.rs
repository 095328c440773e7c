//! What a task of a mix session writes, up to the marker that follows it.

use gatling_process::Lines;

/// How often the marker comes: once on each output.
const MARKERS: u8 = 2;

/// Passes on output until the marker has come on both outputs. The marker is a line of its own, with a
/// line end before it in case that the task left a line open; neither is passed on.
#[derive(Debug)]
pub(super) struct Until<'a> {
    marker: &'a str,
    came: u8,
    /// An empty line, which may belong to the marker.
    held: bool,
    /// The last line goes on.
    open: bool,
}

impl<'a> Until<'a> {
    pub(super) fn new(marker: &'a str) -> Self {
        Self { marker, came: 0, held: false, open: false }
    }

    /// Takes lines, and passes on what the task wrote.
    pub(super) fn take(&mut self, lines: Lines, pass_on: &mut dyn FnMut(Lines)) {
        let ends_empty = lines.text.is_empty() || lines.text.ends_with('\n');
        if !self.held && !ends_empty && !lines.text.contains(self.marker) {
            self.open = lines.open;
            pass_on(lines);
            return;
        }
        let mut own = Vec::new();
        let mut texts = lines.text.split('\n').peekable();
        while let Some(text) = texts.next() {
            let is_whole = !std::mem::take(&mut self.open) && (texts.peek().is_some() || !lines.open);
            if is_whole && text == self.marker {
                self.came += 1;
                self.held = false;
                continue;
            }
            own.extend(std::mem::take(&mut self.held).then_some(""));
            if is_whole && text.is_empty() {
                self.held = true;
            } else {
                own.push(text);
            }
        }
        self.open = lines.open;
        if !own.is_empty() {
            pass_on(Lines { text: own.join("\n"), open: lines.open });
        }
    }

    /// Whether the task's output is over.
    pub(super) fn is_over(&self) -> bool {
        self.came >= MARKERS
    }

    /// Passes on what was held back.
    pub(super) fn end(&mut self, pass_on: &mut dyn FnMut(Lines)) {
        if std::mem::take(&mut self.held) {
            pass_on(Lines { text: String::new(), open: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is passed on of batches of lines, and whether the output is over then.
    fn passed(batches: &[(&str, bool)]) -> (String, bool) {
        let mut text = String::new();
        let mut until = Until::new("M");
        let mut add = |lines: Lines| text += &format!("{}{}", lines.text, if lines.open { "…" } else { "\n" });
        for (batch, open) in batches {
            until.take(Lines { text: (*batch).to_owned(), open: *open }, &mut add);
        }
        until.end(&mut add);
        let is_over = until.is_over();
        (text, is_over)
    }

    #[test]
    fn the_marker_and_the_line_end_before_it_are_not_passed_on() {
        for (batches, expected) in [
            (&[("one\n\nM\n\nM", false)][..], "one\n"),
            (&[("left open\nM\n\nM", false)], "left open\n"),
            (&[("\nM\n\nM", false)], ""),
            (&[("an empty line\n\n\nM\n\nM", false)], "an empty line\n\n"),
            (&[("one", false), ("", false), ("M", false), ("\nM", false)], "one\n"),
            (&[("one\n\nM\nleft running\nM", false)], "one\nleft running\n"),
            (&[("one\n\nM\n\nM\nleft running", false)], "one\nleft running\n"),
        ] {
            assert_eq!(passed(batches), (expected.to_owned(), true), "{batches:?}");
        }
    }

    #[test]
    fn nothing_else_ends_the_output() {
        for (batches, expected) in [
            (&[("one\n\nM", false)][..], "one\n"),
            (&[("M and more\n M\nm", false)], "M and more\n M\nm\n"),
            // Pieces of one long line.
            (&[("M", true), ("M", true), ("M\nM", false)], "M…M…M\n"),
            (&[("long", true), ("", false), ("\nM", false)], "long…\n"),
            (&[("", false)], "\n"),
        ] {
            assert_eq!(passed(batches), (expected.to_owned(), false), "{batches:?}");
        }
    }
}
