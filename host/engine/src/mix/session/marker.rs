//! The output of a task of a mix session, up to the marker that ends it.

use gatling_process::Lines;

/// How many markers end the output: one on standard output and one on standard error.
const MARKERS: u8 = 2;

/// Passes on output until the marker has appeared on both outputs. The marker is on its own line, after a line end in
/// case the task did not finish its last line. Both are removed.
#[derive(Debug)]
pub(super) struct MarkerFilter<'a> {
    marker: &'a str,
    markers_seen: u8,
    /// An empty line was held back: it may belong to the marker.
    held: bool,
    /// The last line continues.
    open: bool,
}

impl<'a> MarkerFilter<'a> {
    pub(super) fn new(marker: &'a str) -> Self {
        Self { marker, markers_seen: 0, held: false, open: false }
    }

    /// Takes lines, and passes on the task's output.
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
                self.markers_seen += 1;
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

    /// Whether the task's output has ended.
    pub(super) fn is_over(&self) -> bool {
        self.markers_seen >= MARKERS
    }

    /// Passes on the line that was held back.
    pub(super) fn finish(&mut self, pass_on: &mut dyn FnMut(Lines)) {
        if std::mem::take(&mut self.held) {
            pass_on(Lines { text: String::new(), open: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter passes on of these batches of lines, and whether the output has ended after them.
    fn passed(batches: &[(&str, bool)]) -> (String, bool) {
        let mut text = String::new();
        let mut filter = MarkerFilter::new("M");
        let mut add = |lines: Lines| text += &format!("{}{}", lines.text, if lines.open { "…" } else { "\n" });
        for (batch, open) in batches {
            filter.take(Lines { text: (*batch).to_owned(), open: *open }, &mut add);
        }
        filter.finish(&mut add);
        let is_over = filter.is_over();
        (text, is_over)
    }

    #[test]
    fn the_marker_and_the_line_end_before_it_are_removed() {
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
    fn only_the_marker_on_both_outputs_ends_the_output() {
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
