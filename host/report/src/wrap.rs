//! Wraps lines, so that the terminal does not: otherwise the rest of a line would begin where Gatling's own lines
//! begin.

use unicode_width::UnicodeWidthChar as _;

/// The distance between tab stops, in columns.
const TAB: usize = 8;

/// Breaks a line into pieces: the first has at most `first` columns, the others at most `width`. Breaks between words
/// if possible, and within backticks, which contain commands to copy, only if a command is too long for one line.
pub(crate) fn wrap(line: &str, first: usize, width: usize) -> Vec<String> {
    let line = without_tabs(line);
    if columns(&line) <= first {
        return vec![line];
    }
    let mut pieces: Vec<String> = Vec::new();
    let room = |pieces: &Vec<String>| if pieces.is_empty() { first } else { width };
    let mut piece = String::new();
    for word in words(&line) {
        if !piece.is_empty() && columns(&piece) + columns(word.trim_end()) > room(&pieces) {
            pieces.push(std::mem::take(&mut piece));
        }
        piece.push_str(word);
        while columns(piece.trim_end()) > room(&pieces) {
            let rest = piece.split_off(fitting(&piece, room(&pieces)));
            pieces.push(std::mem::replace(&mut piece, rest));
        }
    }
    pieces.push(piece);
    pieces.iter().map(|piece| piece.trim_end().to_owned()).collect()
}

/// The words of a line, each with the spaces after it.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut quoted, mut after_space) = (0, false, false);
    for (index, c) in line.char_indices() {
        if after_space && c != ' ' && !quoted {
            words.push(&line[start..index]);
            start = index;
        }
        quoted ^= c == '`';
        after_space = c == ' ';
    }
    words.push(&line[start..]);
    words
}

/// How many bytes of a text fit into `width` columns: at least one character.
fn fitting(text: &str, width: usize) -> usize {
    let mut used = 0;
    for (index, c) in text.char_indices() {
        used += c.width().unwrap_or_default();
        if used > width && index > 0 {
            return index;
        }
    }
    text.len()
}

fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or_default()).sum()
}

fn without_tabs(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut column = 0;
    for c in line.chars() {
        if c == '\t' {
            let spaces = TAB - column % TAB;
            text.extend(std::iter::repeat_n(' ', spaces));
            column += spaces;
        } else {
            text.push(c);
            column += c.width().unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_not_within_a_command() {
        let line = "run `gatling config set shop KEY=-` on the server, and push again";
        let pieces = ["run", "`gatling config set shop KEY=-` on", "the server, and push again"];
        assert_eq!(wrap(line, 34, 34), pieces);
        assert_eq!(wrap("one two three", 5, 9), ["one", "two three"]);
        assert_eq!(wrap("short", 36, 36), ["short"]);
        assert_eq!(wrap("", 36, 36), [""]);
    }

    #[test]
    fn text_without_spaces_is_broken_at_the_full_width() {
        assert_eq!(wrap(&"x".repeat(25), 10, 10), ["x".repeat(10), "x".repeat(10), "x".repeat(5)]);
        // These are two columns wide.
        assert_eq!(wrap("漢字漢字漢", 5, 5), ["漢字", "漢字", "漢"]);
        assert_eq!(wrap("a\tb", 8, 8), ["a", "b"]);
    }

    #[test]
    fn no_piece_exceeds_the_width() {
        let text = "one `a command that is longer than the line by far` two  three\tfour";
        for width in 1..80 {
            assert!(wrap(text, width, width).iter().all(|piece| columns(piece) <= width.max(2)), "{width}");
        }
    }
}
