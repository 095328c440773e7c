//! How much output of one step or hook a journal keeps: the beginning as it comes, and the end.

use crate::Redactor;

/// How much of the share is for the end of the output: this part of it, and at most so many bytes.
const END: usize = 4;
const LONGEST_END: usize = 64 * 1024;

/// The output of one step or hook.
pub(crate) struct Share {
    /// How much more is kept as it comes, in bytes.
    left: usize,
    /// Whether anything was kept.
    has_begun: bool,
    /// How much of the end is kept, in bytes.
    end: usize,
    /// The end of what came after that, which may be longer than it is kept.
    tail: String,
    /// How much was left out between the two, in bytes.
    cut: u64,
    /// The end of a line that goes on, as it could be the beginning of a secret value.
    uncertain: String,
}

/// What is written of some output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) text: String,
    /// Whether the last line goes on.
    pub(crate) open: bool,
}

/// What is written when there will be no more output.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rest {
    /// What goes on with what was written before.
    pub(crate) rest: Option<String>,
    /// How many bytes were left out.
    pub(crate) cut: u64,
    /// The end of the output.
    pub(crate) tail: Option<String>,
}

impl Share {
    /// A share of so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        let end = (most / END).min(LONGEST_END);
        Self { left: most - end, has_begun: false, end, tail: String::new(), cut: 0, uncertain: String::new() }
    }

    /// Takes lines, of which the last may be `open`: it goes on. Returns what is to be written of them.
    pub(crate) fn take(&mut self, text: &str, open: bool, redactor: &Redactor) -> Option<Kept> {
        if self.left == 0 {
            self.skip(text, open);
            return None;
        }
        let mut text = std::mem::take(&mut self.uncertain) + text;
        if text.len() > self.left {
            // What doesn't fit any more counts for the end, from the beginning of a line.
            let end = text.floor_char_boundary(self.left);
            // One line that is too long by itself is cut.
            let whole = text[..end].rfind('\n').map_or(0, |line_end| line_end + 1);
            let end = if whole == 0 && !self.has_begun { end } else { whole };
            let rest = text.split_off(end);
            self.left = 0;
            self.skip(&rest, open);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            return (!text.is_empty()).then(|| Kept { text: redactor.redact(text), open: false });
        }
        if open {
            self.uncertain = text.split_off(redactor.certain(&text));
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
        // Not each time: moving the text costs as much as its length.
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

    /// There will be no more output: what is left to be written.
    pub(crate) fn finish(mut self, redactor: &Redactor) -> Rest {
        self.shorten();
        if self.cut > 0 {
            // It begins in the middle of a line, and perhaps of a secret value.
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
    fn of_too_much_output_the_beginning_and_the_end_are_kept() {
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
    fn what_fits_is_kept_as_it_comes() {
        let none = Redactor::default();
        let mut share = Share::new(1000);
        assert_eq!(share.take("one\ntwo", false, &none), kept("one\ntwo", false));
        assert_eq!(share.take("thr", true, &none), kept("thr", true));
        assert_eq!(share.take("ee", false, &none), kept("ee", false));
        assert_eq!(share.finish(&none), Rest::default());
    }

    #[test]
    fn a_secret_that_comes_in_two_parts_is_redacted() {
        let redactor = Redactor::new([("A", "hunter2")], &[]);
        let mut share = Share::new(1000);
        assert_eq!(share.take("the word is hun", true, &redactor), kept("the word ", true));
        assert_eq!(share.take("ter2!", false, &redactor), kept("is [A]!", false));
        assert_eq!(share.take("hunter2", true, &redactor), kept("[A]", true));
        assert_eq!(share.take("hunt", true, &redactor), None);
        assert_eq!(share.finish(&redactor).rest.as_deref(), Some("hunt"));
    }

    #[test]
    fn one_long_line_is_cut_too() {
        let none = Redactor::default();
        let mut share = Share::new(40);
        let kept = share.take(&"x".repeat(1000), false, &none).expect("its beginning is kept");
        assert_eq!(kept.text, "x".repeat(30));
        // Nothing of the end begins with a whole line.
        assert_eq!(share.finish(&none), Rest { rest: None, cut: 970 + 1, tail: None });
    }
}
