//! Showing text from somebody who is not trusted.

use std::borrow::Cow;

/// A text that only shows: a terminal takes some characters for commands, such as to go back and write
/// over another line, and others change the order of what follows or can't be seen. Colours are left
/// out, and other such characters are spelled, as `\u{1b}`. Line ends and tabs stay.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.chars().all(shows) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
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
            // Some end their lines like this.
            '\r' if rest.is_empty() || rest.starts_with('\n') => {}
            // Says only whether the character before it is a picture.
            '\u{fe00}'..='\u{fe0f}' => {}
            c if shows(c) => shown.push(c),
            c => shown.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(shown)
}

/// As [`escape`], for what has to stay on one line.
#[must_use]
pub fn escape_line(text: &str) -> String {
    escape(text).replace(['\n', '\t'], " ")
}

/// Whether a terminal just shows a character.
fn shows(c: char) -> bool {
    match c {
        '\n' | '\t' => true,
        c if c.is_control() => false,
        // Without width, or the beginning of text that is written the other way round.
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
    fn what_a_terminal_would_take_for_commands_is_spelled_and_colours_are_left_out() {
        for (text, shown) in [
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
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn what_stays_on_a_line_has_no_line_ends() {
        assert_eq!(escape_line("main\ngatling: fine\tso"), "main gatling: fine so");
    }
}
