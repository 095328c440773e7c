//! Keeps secret values out of journals and output.
//!
//! A value of the project's `.env` can appear anywhere: in the output of a program, in an error, in a command line. It
//! is replaced by the variable's name in brackets.

use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use percent_encoding::percent_decode_str;

/// The minimum length of a value that is replaced, in bytes. Shorter ones would match too often.
pub const MIN_LENGTH: usize = 4;

/// Variables that configure where and how an app runs. Their values are not secret.
pub const PUBLIC: [&str; 14] = [
    "PORT",
    "PHX_HOST",
    "PHX_SERVER",
    "MIX_ENV",
    "POOL_SIZE",
    "ECTO_IPV6",
    "DNS_CLUSTER_QUERY",
    "LANG",
    "LC_ALL",
    "TZ",
    "RELEASE_NAME",
    "RELEASE_NODE",
    "RELEASE_DISTRIBUTION",
    "LOG_LEVEL",
];

/// Replaces secret values with the names of their variables.
#[derive(Clone, Default)]
pub struct Redactor {
    needles: Option<Arc<Needles>>,
}

struct Needles {
    search: AhoCorasick,
    replacements: Vec<String>,
    longest: usize,
}

impl Redactor {
    /// A redactor for the values of these variables, except those whose names are [`PUBLIC`] or in `shown`.
    pub fn new<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>, shown: &[String]) -> Self {
        let mut needles: Vec<(String, String)> = Vec::new();
        for (name, value) in variables {
            if PUBLIC.contains(&name) || shown.iter().any(|shown| shown == name) {
                continue;
            }
            for form in forms(value) {
                if form.len() >= MIN_LENGTH && !needles.iter().any(|(other, _)| *other == form) {
                    needles.push((form, format!("[{name}]")));
                }
            }
        }
        let (patterns, replacements): (Vec<_>, Vec<_>) = needles.into_iter().unzip();
        let longest = patterns.iter().map(String::len).max().unwrap_or_default();
        // Building the automaton only fails for gigabytes of values.
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns);
        let search = search.ok().filter(|_| longest > 0);
        Self { needles: search.map(|search| Arc::new(Needles { search, replacements, longest })) }
    }

    /// The text without secret values.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        match &self.needles {
            Some(needles) => needles.search.replace_all(text, &needles.replacements),
            None => text.to_owned(),
        }
    }

    /// How many bytes of an incomplete text can be redacted now: the bytes after them could be the beginning of a
    /// secret value.
    #[must_use]
    pub fn redactable_length(&self, text: &str) -> usize {
        let Some(needles) = &self.needles else { return text.len() };
        let length = text.floor_char_boundary(text.len().saturating_sub(needles.longest - 1));
        let across = needles.search.find_iter(text).find(|found| found.start() < length && found.end() > length);
        across.map_or(length, |found| found.end())
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.needles.as_ref().map_or(0, |needles| needles.replacements.len());
        write!(f, "Redactor({number} texts)")
    }
}

/// The forms in which a value can appear: unchanged, as Elixir and JSON quote it, and the password of a URL. For a
/// value with several lines, each line.
fn forms(value: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for line in value.split(['\n', '\r']) {
        let line = line.trim();
        forms.push(line.to_owned());
        let quoted = line.replace('\\', "\\\\").replace('"', "\\\"");
        // Elixir escapes the beginning of an interpolation.
        forms.push(quoted.replace("#{", "\\#{"));
        forms.push(quoted);
    }
    if let Some(password) = url_password(value) {
        forms.push(password.to_owned());
        forms.push(percent_decode_str(password).decode_utf8_lossy().into_owned());
    }
    forms
}

/// The password of a URL as it is written there: after the user's name, before the last `@` of the authority. There
/// is no real parser, because users also write passwords in invalid URLs.
fn url_password(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (name, password) = user.split_once(':')?;
    // One that is the user's name is no secret, and often the name of the app too.
    (password != name).then_some(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(
            [
                ("DATABASE_URL", "ecto://shop:p%40ss word@localhost/shop"),
                ("TOKEN", "s3cr\"et"),
                ("KEY", "-----BEGIN-----\nabcdefgh\n-----END-----"),
                ("LONGER", "hunter2hunter2"),
                ("SHORT", "yes"),
                ("PORT", "4000"),
                ("LEVEL", "debug"),
                ("PASSWORD", "hunter2"),
                ("REPLICA_URL", "ecto://shop:shop@localhost/shop"),
            ],
            &["LEVEL".to_owned()],
        )
    }

    #[test]
    fn values_are_replaced_with_the_names_of_their_variables() {
        for (text, redacted) in [
            ("connects to ecto://shop:p%40ss word@localhost/shop now", "connects to [DATABASE_URL] now"),
            ("the password p@ss word is wrong", "the password [DATABASE_URL] is wrong"),
            ("user:p%40ss word@db", "user:[DATABASE_URL]@db"),
            (r#"got "s3cr\"et""#, r#"got "[TOKEN]""#),
            (r#"s3cr"et"#, "[TOKEN]"),
            ("line abcdefgh of a key", "line [KEY] of a key"),
            ("hunter2hunter2 hunter2", "[LONGER] [PASSWORD]"),
            ("shop at ecto://shop:shop@localhost/shop", "shop at [REPLICA_URL]"),
            ("yes, it listens on 4000 at level debug", "yes, it listens on 4000 at level debug"),
        ] {
            assert_eq!(redactor().redact(text), redacted);
        }
    }

    #[test]
    fn the_end_of_an_incomplete_text_is_not_redactable_yet() {
        let redactor = Redactor::new([("A", "hunter2")], &[]);
        for (text, length) in [("it is hunt", 4), ("it is hunter2", 13), ("hunter2 x", 7), ("x", 0), ("", 0)] {
            assert_eq!(redactor.redactable_length(text), length, "{text:?}");
        }
    }

    #[test]
    fn without_variables_nothing_is_replaced() {
        let none = Redactor::new([], &[]);
        assert_eq!(none.redact("hunter2"), "hunter2");
        assert_eq!(none.redactable_length("hunter2"), 7);
    }

    #[test]
    fn debug_output_does_not_contain_values() {
        assert_eq!(format!("{:?}", Redactor::new([("A", "hunter2")], &[])), "Redactor(1 texts)");
    }
}
