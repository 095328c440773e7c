//! Keeps secret values out of what is written down.
//!
//! A value of the project's `.env` can come back from anywhere: a program prints it, an error quotes it,
//! a command line has it. The journal's writer replaces each of them by the variable's name, in
//! brackets.

use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use percent_encoding::percent_decode_str;

/// Shorter values are not replaced: they would be found everywhere, and keep no secret.
pub const SHORTEST: usize = 4;

/// Variables that say where and how an app runs. Their values are shown.
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

/// Replaces secret values by the names of their variables.
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
    /// A redactor for the values of these variables, but for those whose names are [`PUBLIC`] or among
    /// `shown`.
    pub fn new<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>, shown: &[String]) -> Self {
        let mut needles: Vec<(String, String)> = Vec::new();
        for (name, value) in variables {
            if PUBLIC.contains(&name) || shown.iter().any(|shown| shown == name) {
                continue;
            }
            for form in forms(value) {
                if form.len() >= SHORTEST && !needles.iter().any(|(other, _)| *other == form) {
                    needles.push((form, format!("[{name}]")));
                }
            }
        }
        let (patterns, replacements): (Vec<_>, Vec<_>) = needles.into_iter().unzip();
        let longest = patterns.iter().map(String::len).max().unwrap_or_default();
        // Values that no automaton can be made for would be gigabytes long.
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

    /// How many bytes of a text that goes on later can be redacted by themselves: what follows them could
    /// be the beginning of a secret value.
    #[must_use]
    pub fn certain(&self, text: &str) -> usize {
        let Some(needles) = &self.needles else { return text.len() };
        let certain = text.floor_char_boundary(text.len().saturating_sub(needles.longest - 1));
        let across = needles.search.find_iter(text).find(|found| found.start() < certain && found.end() > certain);
        across.map_or(certain, |found| found.end())
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.needles.as_ref().map_or(0, |needles| needles.replacements.len());
        write!(f, "Redactor({number} texts)")
    }
}

/// The ways in which a value can show: as it is, as Elixir and JSON quote it, and the password of a
/// URL. Of a value with several lines, each line.
fn forms(value: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for line in value.split(['\n', '\r']) {
        let line = line.trim();
        forms.push(line.to_owned());
        let quoted = line.replace('\\', "\\\\").replace('"', "\\\"");
        // Elixir would take it for the beginning of an interpolation.
        forms.push(quoted.replace("#{", "\\#{"));
        forms.push(quoted);
    }
    if let Some(password) = url_password(value) {
        forms.push(password.to_owned());
        forms.push(percent_decode_str(password).decode_utf8_lossy().into_owned());
    }
    forms
}

/// The password of a URL as it is written there: after the user's name, before the last `@` of the
/// authority. People write URLs that no parser takes, and passwords in them.
fn url_password(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    let (user, _) = authority.rsplit_once('@')?;
    Some(user.split_once(':')?.1)
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
            ],
            &["LEVEL".to_owned()],
        )
    }

    #[test]
    fn values_are_replaced_by_the_names_of_their_variables() {
        for (text, redacted) in [
            ("connects to ecto://shop:p%40ss word@localhost/shop now", "connects to [DATABASE_URL] now"),
            ("the password p@ss word is wrong", "the password [DATABASE_URL] is wrong"),
            ("user:p%40ss word@db", "user:[DATABASE_URL]@db"),
            (r#"got "s3cr\"et""#, r#"got "[TOKEN]""#),
            (r#"s3cr"et"#, "[TOKEN]"),
            ("line abcdefgh of a key", "line [KEY] of a key"),
            ("hunter2hunter2 hunter2", "[LONGER] [PASSWORD]"),
            ("yes, it listens on 4000 at level debug", "yes, it listens on 4000 at level debug"),
        ] {
            assert_eq!(redactor().redact(text), redacted);
        }
    }

    #[test]
    fn of_a_text_that_goes_on_the_end_is_uncertain() {
        let redactor = Redactor::new([("A", "hunter2")], &[]);
        for (text, certain) in [("it is hunt", 4), ("it is hunter2", 13), ("hunter2 x", 7), ("x", 0), ("", 0)] {
            assert_eq!(redactor.certain(text), certain, "{text:?}");
        }
    }

    #[test]
    fn without_variables_nothing_is_replaced() {
        let none = Redactor::new([], &[]);
        assert_eq!(none.redact("hunter2"), "hunter2");
        assert_eq!(none.certain("hunter2"), 7);
    }

    #[test]
    fn it_does_not_show_its_values() {
        assert_eq!(format!("{:?}", Redactor::new([("A", "hunter2")], &[])), "Redactor(1 texts)");
    }
}
