//! nginx's configuration as a tree that can be parsed, changed, and written again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, bail};

/// A directive with its arguments, and its block if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its words as in the configuration, with quotes. The first is its name.
    words: Vec<String>,
    /// The directives between its braces.
    pub block: Option<Vec<Directive>>,
    /// The file that contains it.
    pub file: String,
}

impl Directive {
    /// A directive without a block.
    #[must_use]
    pub fn new(words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { words, block: None, file: String::new() }
    }

    /// A directive with a block.
    #[must_use]
    pub fn with_block(words: &[&str], block: Vec<Self>) -> Self {
        Self { block: Some(block), ..Self::new(words) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Its arguments, without quotes.
    pub fn arguments(&self) -> impl Iterator<Item = String> {
        self.words.iter().skip(1).map(|word| unquoted(word))
    }

    /// Replaces the arguments. They must be quoted as nginx requires.
    pub fn set_arguments(&mut self, arguments: impl IntoIterator<Item = String>) {
        self.words.truncate(1);
        self.words.extend(arguments);
    }

    /// Whether its block is Lua code.
    fn is_lua(&self) -> bool {
        self.name().ends_with("_by_lua_block")
    }

    /// The directives of that name in its block.
    pub fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.block.iter().flatten().filter(move |directive| directive.name() == name)
    }
}

/// Parses a configuration. `file` is its path, for errors.
///
/// # Errors
/// When the syntax is invalid, such as for a missing brace.
pub fn parse(text: &str, file: &str) -> Result<Vec<Directive>> {
    let mut parser = Parser { rest: text, file };
    let (directives, closed) = parser.directives()?;
    if closed {
        bail!("{file} has an unmatched `}}`");
    }
    Ok(directives)
}

/// Directives as the text of a configuration.
#[must_use]
pub fn text(directives: &[Directive]) -> String {
    let mut text = String::new();
    write(&mut text, directives, 0);
    text
}

fn write(text: &mut String, directives: &[Directive], depth: usize) {
    for directive in directives {
        let indent = "  ".repeat(depth);
        // Writing to a string can't fail.
        _ = write!(text, "{indent}{}", directive.words.join(" "));
        match &directive.block {
            None => text.push_str(";\n"),
            Some(block) if directive.is_lua() => {
                let code = block.iter().map(Directive::name).collect::<String>();
                _ = writeln!(text, " {{{code}}}");
            }
            Some(block) => {
                text.push_str(" {\n");
                write(text, block, depth + 1);
                _ = writeln!(text, "{indent}}}");
            }
        }
    }
}

/// The files that `nginx -T` prints, by path, and the main file, which includes the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    main: String,
    files: BTreeMap<String, String>,
    /// A file and its replacement.
    replaced: Option<(String, Vec<Directive>)>,
}

impl Dump {
    /// Parses the output of `nginx -T`.
    ///
    /// # Errors
    /// When it contains no file.
    pub fn parse(output: &str) -> Result<Self> {
        let mut dump = Self::default();
        let mut file: Option<String> = None;
        for line in output.split_inclusive('\n') {
            if let Some(name) =
                line.strip_prefix("# configuration file ").and_then(|rest| rest.trim_end().strip_suffix(':'))
            {
                if dump.main.is_empty() {
                    name.clone_into(&mut dump.main);
                }
                file = Some(name.to_owned());
                dump.files.entry(name.to_owned()).or_default();
            } else if let Some(text) = file.as_ref().and_then(|file| dump.files.get_mut(file)) {
                text.push_str(line);
            }
        }
        if dump.main.is_empty() {
            bail!("nginx -T printed no configuration");
        }
        Ok(dump)
    }

    /// Replaces the file at `path`, which may not exist yet. Returns whether nginx's configuration includes a file at
    /// that path.
    pub fn replace(&mut self, path: &Path, with: Vec<Directive>) -> Result<bool> {
        let path = path.display().to_string();
        self.files.entry(path.clone()).or_default();
        self.replaced = Some((path.clone(), with));
        let mut found = false;
        visit(&self.expand()?, &mut |directive| found |= directive.file == path);
        Ok(found)
    }

    /// The whole configuration, in which every `include` is replaced by the included files.
    ///
    /// # Errors
    /// When a file can't be parsed, or files include each other in a loop.
    pub fn expand(&self) -> Result<Vec<Directive>> {
        self.expand_file(&self.main, 0)
    }

    fn expand_file(&self, path: &str, depth: usize) -> Result<Vec<Directive>> {
        if depth > 16 {
            bail!("the files of nginx's configuration include each other in a loop: see {path}");
        }
        if let Some((_, with)) = self.replaced.as_ref().filter(|(replaced, _)| replaced == path) {
            let in_file = |directive: &Directive| Directive { file: path.to_owned(), ..directive.clone() };
            return Ok(with.iter().map(in_file).collect());
        }
        let directives = parse(self.files.get(path).map_or("", String::as_str), path)?;
        self.expand_all(directives, depth)
    }

    fn expand_all(&self, directives: Vec<Directive>, depth: usize) -> Result<Vec<Directive>> {
        let mut expanded = Vec::with_capacity(directives.len());
        for mut directive in directives {
            if directive.name() == "include" {
                for file in self.included(&directive) {
                    expanded.extend(self.expand_file(&file, depth + 1)?);
                }
                continue;
            }
            if let Some(block) = directive.block.take() {
                directive.block = Some(self.expand_all(block, depth)?);
            }
            expanded.push(directive);
        }
        Ok(expanded)
    }

    fn included(&self, include: &Directive) -> Vec<String> {
        let folder = Path::new(&self.main).parent().unwrap_or(Path::new("/"));
        let Some(pattern) = include.arguments().next() else { return Vec::new() };
        let pattern = folder.join(pattern).display().to_string();
        // nginx ignores hidden files, as a shell does.
        let options = glob::MatchOptions {
            require_literal_separator: true,
            require_literal_leading_dot: true,
            ..glob::MatchOptions::new()
        };
        match glob::Pattern::new(&pattern) {
            Ok(glob) => self.files.keys().filter(|file| glob.matches_with(file, options)).cloned().collect(),
            Err(_) => self.files.keys().filter(|file| **file == pattern).cloned().collect(),
        }
    }
}

/// Calls `visitor` for every directive, including those in blocks.
pub fn visit<'a>(directives: &'a [Directive], visitor: &mut impl FnMut(&'a Directive)) {
    for directive in directives {
        visitor(directive);
        visit(directive.block.as_deref().unwrap_or_default(), visitor);
    }
}

struct Parser<'a> {
    rest: &'a str,
    file: &'a str,
}

impl Parser<'_> {
    /// Parses directives up to the end of the text or of their block. Returns true if a brace closed the block.
    fn directives(&mut self) -> Result<(Vec<Directive>, bool)> {
        let mut directives = Vec::new();
        let mut words: Vec<String> = Vec::new();
        loop {
            self.skip_space();
            let Some(c) = self.rest.chars().next() else {
                if !words.is_empty() {
                    bail!("{} ends in the middle of `{}`", self.file, words.join(" "));
                }
                return Ok((directives, false));
            };
            match c {
                ';' | '{' | '}' if words.is_empty() => {
                    self.rest = &self.rest[1..];
                    match c {
                        '}' => return Ok((directives, true)),
                        ';' => {}
                        _ => bail!("{} has a `{{` without a directive before it", self.file),
                    }
                }
                ';' => {
                    self.rest = &self.rest[1..];
                    directives.push(self.directive(&mut words, None));
                }
                '{' => {
                    self.rest = &self.rest[1..];
                    let block = if words[0].ends_with("_by_lua_block") {
                        let code = self.lua_block()?;
                        vec![Directive { words: vec![code], block: None, file: self.file.to_owned() }]
                    } else {
                        let (block, closed) = self.directives()?;
                        if !closed {
                            bail!("{} has no closing `}}` for `{}`", self.file, words.join(" "));
                        }
                        block
                    };
                    directives.push(self.directive(&mut words, Some(block)));
                }
                '}' => bail!("{} has no `;` after `{}`", self.file, words.join(" ")),
                _ => words.push(self.word()?),
            }
        }
    }

    fn directive(&self, words: &mut Vec<String>, block: Option<Vec<Directive>>) -> Directive {
        Directive { words: std::mem::take(words), block, file: self.file.to_owned() }
    }

    fn skip_space(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    /// The next word, with its quotes.
    fn word(&mut self) -> Result<String> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let mut escaped = false;
        let mut previous = ' ';
        for (index, c) in self.rest.char_indices() {
            let at_end = match quote {
                _ if escaped => false,
                Some(quote) => index > 0 && c == quote,
                None => c.is_whitespace() || c == ';' || (c == '{' && previous != '$'),
            };
            if at_end {
                let end = index + if quote.is_some() { 1 } else { 0 };
                let word = self.rest[..end].to_owned();
                self.rest = &self.rest[end..];
                return Ok(word);
            }
            escaped = c == '\\' && !escaped;
            previous = c;
        }
        if quote.is_some() {
            bail!("{} has a quote that is never closed", self.file);
        }
        Ok(std::mem::take(&mut self.rest).to_owned())
    }

    /// The Lua code up to the closing brace.
    fn lua_block(&mut self) -> Result<String> {
        let mut depth = 1;
        for (index, c) in self.rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let code = self.rest[..index].to_owned();
                self.rest = &self.rest[index + 1..];
                return Ok(code);
            }
        }
        bail!("{} has a Lua block that is never closed", self.file)
    }
}

fn unquoted(word: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = word.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner.replace(&format!("\\{quote}"), &quote.to_string());
        }
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = r##"# a comment with a { brace
map $http_upgrade $connection { default upgrade; '' close; }
server {
  listen 127.0.0.1:80 default_server; # here
  server_name www.example.com "~^(?<name>\w{2})\.example\.com$";
  location ~ "-[0-9a-f]{32}\." { add_header X "a;b # c"; }
  set $path ${uri}/x;
}
"##;

    #[test]
    fn a_written_configuration_is_parsed_back_unchanged() {
        let directives = parse(SITE, "site").expect("it is one");
        let names: Vec<_> = directives.iter().map(Directive::name).collect();
        assert_eq!(names, ["map", "server"]);
        let server = &directives[1];
        let names: Vec<_> = server.children("server_name").flat_map(Directive::arguments).collect();
        assert_eq!(names, ["www.example.com", r"~^(?<name>\w{2})\.example\.com$"]);
        let header = server.children("location").next().and_then(|location| location.children("add_header").next());
        assert_eq!(header.expect("it is there").arguments().collect::<Vec<_>>(), ["X", "a;b # c"]);
        assert_eq!(parse(&text(&directives), "site").expect("it is one"), directives);
    }

    #[test]
    fn invalid_syntax_is_refused() {
        for text in ["server {", "server }", "}", "listen 80", "{ }", "a \"b;", "x_by_lua_block { {"] {
            parse(text, "site").expect_err(text);
        }
    }

    #[test]
    fn a_dump_is_expanded_with_a_replaced_file() {
        let output = "nginx: the configuration file /e/nginx.conf syntax is ok\n\
            # configuration file /e/nginx.conf:\nhttp { include mime.types; include /e/sites-enabled/*; }\n\
            # configuration file /e/mime.types:\ntypes { text/html html; }\n\
            # configuration file /e/sites-enabled/a:\nserver { listen 1; }\n\
            # configuration file /e/sites-enabled/b:\nserver { listen 2; }\n";
        let mut dump = Dump::parse(output).expect("it is one");
        let site = Path::new("/e/sites-enabled/c");
        let server = parse("server { listen 3; }", "c").expect("it is one");
        assert!(dump.replace(site, server.clone()).expect("it is understood"));
        let all = text(&dump.expand().expect("it is understood"));
        let listens: Vec<_> = all.lines().filter_map(|line| line.trim().strip_prefix("listen ")).collect();
        assert_eq!(listens, ["1;", "2;", "3;"]);
        assert!(all.contains("text/html html;"));
        assert!(!dump.replace(Path::new("/e/conf.d/c"), server).expect("it is understood"), "nothing includes it");
    }
}
