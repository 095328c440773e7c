//! Makes untrusted text safe to show.

use std::borrow::Cow;

/// Text without control sequences: some characters are commands to a terminal, such as to overwrite another line,
/// and others are invisible or reverse the text that follows. Colors are removed, and other such characters are
/// escaped, as `\u{1b}`. Line endings and tabs are kept.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if let Some(after) = rest.strip_prefix('[').filter(|_| c == '\u{1b}') {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == ':');
            if let Some(after) = after.strip_prefix('m') {
                rest = after;
                continue;
            }
        }
        match c {
            // A Windows line ending.
            '\r' if rest.is_empty() || rest.starts_with('\n') => {}
            // Variation selectors, which choose between the text and the emoji form.
            '\u{fe00}'..='\u{fe0f}' => {}
            c if is_printable(c) => escaped.push(c),
            c => escaped.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(escaped)
}

/// As [`escape`], on a single line.
#[must_use]
pub fn escape_line(text: &str) -> String {
    escape(text).replace(['\n', '\t'], " ")
}

/// Whether a character is safe to print to a terminal.
fn is_printable(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        c if c.is_control() => false,
        // Characters without width, and those that change the direction of text.
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => false,
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fff9}'..='\u{fffb}' => false,
        '\u{e0000}'..='\u{e0fff}' => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_colors_removed() {
        for (text, escaped) in [
            ("größer\tthan\n🙂", "größer\tthan\n🙂"),
            ("\u{1b}[1;32mok\u{1b}[0m \u{1b}[38:5:1mno\u{1b}[m", "ok no"),
            ("over\rwritten", "over\\u{d}written"),
            ("one\r\ntwo\r", "one\ntwo"),
            ("\u{1b}[2J\u{1b}]0;title\u{7}", "\\u{1b}[2J\\u{1b}]0;title\\u{7}"),
            ("\u{9b}2J back\u{8} \u{202e}txt", "\\u{9b}2J back\\u{8} \\u{202e}txt"),
            ("\u{1b}[31", "\\u{1b}[31"),
            ("in\u{200b}visible \u{feff}", "in\\u{200b}visible \\u{feff}"),
            ("done ✔\u{fe0f}", "done ✔"),
        ] {
            assert_eq!(escape(text), escaped);
        }
    }

    #[test]
    fn escape_line_replaces_line_endings_and_tabs() {
        assert_eq!(escape_line("main\ngatling: fine\tso"), "main gatling: fine so");
    }
}
