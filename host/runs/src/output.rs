//! Limits the output of one step or hook in a journal: its beginning and its end are kept.

use crate::Redactor;

/// The end of the output gets a quarter of the limit, but at most [`MAX_END`] bytes.
const END_DIVISOR: usize = 4;
const MAX_END: usize = 64 * 1024;

/// The output of one step or hook.
pub(crate) struct Share {
    /// How many more bytes of the beginning are kept.
    left: usize,
    /// Whether any output was kept.
    has_begun: bool,
    /// How many bytes of the end are kept.
    end: usize,
    /// The output after the beginning, shortened from time to time to about `end` bytes.
    tail: String,
    /// How many bytes between the beginning and the end were omitted.
    cut: u64,
    /// The end of an incomplete line, which could be the beginning of a secret value.
    uncertain: String,
}

/// The part of some output that is written to the journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) text: String,
    /// Whether the last line continues.
    pub(crate) open: bool,
}

/// What is written to the journal after the last output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    /// The rest of the last incomplete line.
    pub(crate) rest: Option<String>,
    /// How many bytes were omitted.
    pub(crate) cut: u64,
    /// The end of the output.
    pub(crate) tail: Option<String>,
}

impl Share {
    /// A limit of `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        let end = (most / END_DIVISOR).min(MAX_END);
        Self { left: most - end, has_begun: false, end, tail: String::new(), cut: 0, uncertain: String::new() }
    }

    /// Takes lines; if `open`, the last one continues. Returns the part to write.
    pub(crate) fn take(&mut self, text: &str, open: bool, redactor: &Redactor) -> Option<Kept> {
        if self.left == 0 {
            self.skip(text, open);
            return None;
        }
        let mut text = std::mem::take(&mut self.uncertain) + text;
        if text.len() > self.left {
            // The lines that do not fit belong to the end.
            let end = text.floor_char_boundary(self.left);
            // A first line that is too long is cut.
            let whole = text[..end].rfind('\n').map_or(0, |line_end| line_end + 1);
            let end = if whole == 0 && !self.has_begun { end } else { whole };
            let rest = text.split_off(end);
            self.left = 0;
            self.skip(&rest, open);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            return (!text.is_empty()).then(|| Kept { text: redactor.redact(text), open: false });
        }
        if open {
            self.uncertain = text.split_off(redactor.redactable_length(&text));
        }
        self.left = self.left.saturating_sub(text.len() + usize::from(!open));
        self.has_begun = true;
        if open && text.is_empty() {
            return None;
        }
        Some(Kept { text: redactor.redact(&text), open })
    }

    fn skip(&mut self, text: &str, open: bool) {
        if text.len() > self.end {
            self.cut += (self.tail.len() + text.len() - self.end) as u64;
            self.tail.clear();
            self.tail.push_str(&text[text.ceil_char_boundary(text.len() - self.end)..]);
        } else {
            self.tail.push_str(text);
        }
        if !open {
            self.tail.push('\n');
        }
        // Only from time to time, because it moves the text.
        if self.tail.len() > 2 * self.end + 1 {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        if self.tail.len() > self.end {
            let from = self.tail.ceil_char_boundary(self.tail.len() - self.end);
            self.cut += from as u64;
            self.tail.drain(..from);
        }
    }

    /// Ends the output, and returns what is still to be written.
    pub(crate) fn finish(mut self, redactor: &Redactor) -> Rest {
        self.shorten();
        if self.cut > 0 {
            // It begins in the middle of a line, and possibly of a secret value.
            let line = self.tail.find('\n').map_or(self.tail.len(), |end| end + 1);
            self.cut += line as u64;
            self.tail.drain(..line);
        }
        let some = |text: &str| {
            let text = text.strip_suffix('\n').unwrap_or(text);
            (!text.is_empty()).then(|| redactor.redact(text))
        };
        Rest { rest: some(&self.uncertain), cut: self.cut, tail: some(&self.tail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str, open: bool) -> Option<Kept> {
        Some(Kept { text: text.to_owned(), open })
    }

    #[test]
    fn the_beginning_and_the_end_of_too_much_output_are_kept() {
        let none = Redactor::default();
        let mut share = Share::new(40);
        let mut text = String::new();
        let mut written = 0;
        for number in 0..100 {
            let line = format!("line {number}");
            written += line.len() + 1;
            if let Some(kept) = share.take(&line, false, &none) {
                text += &(kept.text + "\n");
            }
        }
        let rest = share.finish(&none);
        assert_eq!(text, "line 0\nline 1\nline 2\nline 3\n");
        let tail = rest.tail.expect("there is an end");
        assert_eq!((rest.rest, tail.as_str()), (None, "line 99"));
        assert_eq!(rest.cut as usize + text.len() + tail.len() + 1, written);
    }

    #[test]
    fn output_within_the_limit_is_kept_unchanged() {
        let none = Redactor::default();
        let mut share = Share::new(1000);
        assert_eq!(share.take("one\ntwo", false, &none), kept("one\ntwo", false));
        assert_eq!(share.take("thr", true, &none), kept("thr", true));
        assert_eq!(share.take("ee", false, &none), kept("ee", false));
        assert_eq!(share.finish(&none), Rest::default());
    }

    #[test]
    fn a_secret_in_two_parts_is_redacted() {
        let redactor = Redactor::new([("A", "hunter2")], &[]);
        let mut share = Share::new(1000);
        assert_eq!(share.take("the word is hun", true, &redactor), kept("the word ", true));
        assert_eq!(share.take("ter2!", false, &redactor), kept("is [A]!", false));
        assert_eq!(share.take("hunter2", true, &redactor), kept("[A]", true));
        assert_eq!(share.take("hunt", true, &redactor), None);
        assert_eq!(share.finish(&redactor).rest.as_deref(), Some("hunt"));
    }

    #[test]
    fn a_single_long_line_is_cut() {
        let none = Redactor::default();
        let mut share = Share::new(40);
        let kept = share.take(&"x".repeat(1000), false, &none).expect("its beginning is kept");
        assert_eq!(kept.text, "x".repeat(30));
        // The end contains no beginning of a line.
        assert_eq!(share.finish(&none), Rest { rest: None, cut: 970 + 1, tail: None });
    }
}
