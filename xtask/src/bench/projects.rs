//! Components with all hooks of an upgrade, all of them empty: one in each language.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use gatling_tests::{places, tools};

use super::HOOKS;

/// A language that hooks are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Language {
    /// As `gatling hooks new --lang` knows it.
    pub(super) name: &'static str,
    title: &'static str,
    /// The file of a project that holds the hooks; none where they come with the tests.
    source: Option<&'static str>,
}

/// By the crate that comes with Gatling; the others by the bindings that their tools generate.
pub(super) const RUST: Language = Language { name: "rust", title: "Rust", source: None };
pub(super) const PYTHON: Language = Language { name: "python", title: "Python", source: Some("hooks.py") };

/// All languages.
pub(super) const LANGUAGES: [Language; 6] = [
    RUST,
    Language { name: "js", title: "JavaScript", source: Some("hooks.js") },
    PYTHON,
    Language { name: "c", title: "C", source: Some("hooks.c") },
    Language { name: "go", title: "Go", source: Some("hooks.go") },
    Language { name: "zig", title: "Zig", source: Some("hooks.zig") },
];

/// How lines begin with which hooks of a new project write to the log.
const LOGGING: [&str; 3] = ["log(", "log.Log(", "info("];
/// How lines begin that are needed for such lines alone.
const IMPORTS: [&str; 4] = ["import { log }", "from wit_world.imports.log", "\"fmt\"", "log \""];

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.title)
    }
}

/// The folder of the components; they stay there from one run to the next.
fn folder() -> Result<PathBuf> {
    Ok(places::target_dir()?.join("bench"))
}

/// The component in `language`.
pub(super) fn component(language: Language) -> Result<PathBuf> {
    match language.source {
        None => places::guest("empty16"),
        Some(_) => Ok(folder()?.join(language.name).with_extension("wasm")),
    }
}

/// Makes the component in `language` with `gatling`: a new project with all hooks, emptied and
/// built. `old` is whether one that is there already will do.
pub(super) fn make(gatling: &Path, language: Language, old: bool) -> Result<()> {
    let Some(source) = language.source else { return Ok(()) };
    let component = component(language)?;
    if old && component.is_file() {
        return Ok(());
    }
    let project = folder()?.join(language.name);
    if project.exists() {
        fs::remove_dir_all(&project).with_context(|| format!("removing {}", project.display()))?;
    }
    let mut new = Command::new(gatling);
    new.args(["hooks", "new"]).arg(&project).args(["--lang", language.name, "--hooks", &HOOKS.join(",")]);
    quietly(&mut new)?;
    let source = project.join(source);
    let text = fs::read_to_string(&source).with_context(|| format!("reading {}", source.display()))?;
    fs::write(&source, emptied(language, &text)?)?;
    quietly(tools::build(gatling, &project)?.arg("--out").arg(component))
}

/// The source of a new project without what its hooks do, which is to log a line.
fn emptied(language: Language, text: &str) -> Result<String> {
    let begins = |line: &str, beginnings: &[&str]| beginnings.iter().any(|start| line.trim_start().starts_with(start));
    let mut emptied = String::new();
    let mut hooks = 0;
    for line in text.lines() {
        if begins(line, &LOGGING) {
            hooks += 1;
            if language == PYTHON {
                emptied += "        pass\n";
            }
        } else if !begins(line, &IMPORTS) {
            emptied += line;
            emptied.push('\n');
        }
    }
    ensure!(hooks == HOOKS.len(), "{hooks} hooks of a new project in {language} log a line, of {}", HOOKS.len());
    Ok(emptied)
}

/// Runs `command`, and shows what it said if it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().context("starting gatling")?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        bail!("`{}` ended with {}:\n{}", crate::shell::text(command), output.status, said.concat());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(begin: &str, hook: impl Fn(&str) -> String) -> String {
        begin.to_owned() + &HOOKS.iter().map(|name| hook(name)).collect::<String>()
    }

    #[test]
    fn emptied_hooks_do_nothing_and_import_nothing_for_it() {
        let python = source("import wit_world\nfrom wit_world.imports.log import Level, log\n", |name| {
            format!("    def {name}(self, env: Env) -> None:\n        log(Level.INFO, f\"{{env.project}}: {name}\")\n")
        });
        let emptied = emptied(PYTHON, &python).expect("it has all hooks");
        assert!(
            emptied
                .starts_with("import wit_world\n    def before_mix_deps_get(self, env: Env) -> None:\n        pass\n")
        );
        assert!(!emptied.contains("log"), "{emptied}");
    }

    #[test]
    fn the_function_that_hooks_log_with_is_none_of_their_lines() {
        let c = source("static void info(const char *format, ...) {\n}\n", |name| {
            format!("bool {name}(env_t *env) {{\n  info(\"{name}\");\n  return true;\n}}\n")
        });
        let emptied = emptied(LANGUAGES[3], &c).expect("it has all hooks");
        assert!(emptied.contains("static void info(") && !emptied.contains("  info("), "{emptied}");
    }

    #[test]
    fn a_project_whose_hooks_do_something_else_is_refused() {
        let error = emptied(RUST, "fn before_mix_compile() {}\n").expect_err("it does not log").to_string();
        assert!(error.contains("0 hooks of a new project in Rust"), "{error}");
    }
}
