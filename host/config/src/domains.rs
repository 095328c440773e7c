//! The host names that a project is served at.

use std::path::Path;

use anyhow::{Result, bail};

use crate::settings::project_file;

/// The name of the file in the root of the project that lists them.
pub const FILE: &str = "domains";

/// The largest allowed file, in bytes: some thousand names.
const MAX_LEN: u64 = 128 * 1024;

/// Reads the project's file `domains`. Returns `None` if the project has no such file.
///
/// # Errors
/// When it can't be read, or contains something that is not a host name.
pub fn read(build_dir: &Path) -> Result<Option<Vec<String>>> {
    project_file(build_dir, FILE, MAX_LEN)?.map(|text| parse(&text)).transpose()
}

/// Parses host names, separated by white space or commas. `#` starts a comment. Each name is returned once, in
/// lower case.
fn parse(text: &str) -> Result<Vec<String>> {
    let mut domains: Vec<String> = Vec::new();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    for word in lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || c == ',')) {
        if word.is_empty() {
            continue;
        }
        check(word)?;
        let domain = word.to_ascii_lowercase();
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    Ok(domains)
}

fn check(domain: &str) -> Result<()> {
    let refuse =
        |why: &str| -> Result<()> { bail!("{domain:?} in the project's file `{FILE}` is not a host name: {why}") };
    if !domain.is_ascii() {
        return match idna::domain_to_ascii(domain) {
            Ok(ascii) => refuse(&format!("write it as `{ascii}`, the form that browsers send")),
            Err(_) => refuse("write it in the form that browsers send, which starts with xn--"),
        };
    }
    if let Some((_, rest)) = domain.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        return refuse(&format!("leave out the scheme and the path, as in `{host}`"));
    }
    if let Some((host, _)) = domain.split_once([':', '/']) {
        return refuse(&format!("leave out the port and the path, as in `{host}`"));
    }
    let name = domain.strip_prefix("*.").or_else(|| domain.strip_prefix('.')).unwrap_or(domain);
    if name.contains('*') {
        return refuse("`*` can only stand for the first part, as in `*.example.com`");
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        return refuse("it must be like `www.example.com`, with letters, digits and '-' between the dots");
    }
    Ok(())
}

/// A host name of this domain, for requests: for a wildcard, one that it matches.
#[must_use]
pub fn example(domain: &str) -> String {
    match domain.strip_prefix("*.") {
        Some(parent) => format!("gatling-check.{parent}"),
        None => domain.trim_start_matches('.').to_owned(),
    }
}

/// The host name for the app's URLs: the first name that is not a wildcard, or otherwise the parent of the first
/// wildcard.
#[must_use]
pub fn main(domains: &[String]) -> Option<&str> {
    let plain = domains.iter().find(|domain| !domain.starts_with(['.', '*']));
    plain.or(domains.first()).map(|domain| domain.trim_start_matches("*.").trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_skipped_and_each_name_is_kept_once() {
        let text = "# where\nwww.Example.com, *.example.com\n\n.example.org # all\nwww.example.com\n";
        assert_eq!(parse(text).expect("names"), ["www.example.com", "*.example.com", ".example.org"]);
    }

    #[test]
    fn the_error_for_an_invalid_host_name_says_what_to_write() {
        for (text, part) in [
            ("größe.example", "write it as `xn--gre-6ka8i.example`"),
            ("https://www.example.com/", "as in `www.example.com`"),
            ("www.example.com:8080", "as in `www.example.com`"),
            ("www.*.example.com", "only stand for the first part"),
            ("*", "only stand for the first part"),
            ("~^www", "it must be like"),
            ("www..example.com", "it must be like"),
            ("-a.example.com", "it must be like"),
            ("a;b", "it must be like"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(part) && error.contains("`domains`"), "{text}: {error}");
        }
    }

    #[test]
    fn a_wildcard_has_an_example_name_and_a_main_name() {
        assert_eq!(example("*.example.com"), "gatling-check.example.com");
        assert_eq!(example(".example.com"), "example.com");
        let domains = ["*.example.com".to_owned(), "example.com".to_owned()];
        assert_eq!(main(&domains), Some("example.com"));
        assert_eq!(main(&["*.example.org".to_owned()]), Some("example.org"));
    }
}
