//! Parses the facts about a project that `facts.exs` prints.

use std::collections::VecDeque;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::toolchain::otp_version;
use gatling_pipeline::facts::mix::{Child, Endpoint, Listening, MixFacts, Requirement, RuntimeConfig, Versions};

/// How many of the last lines that are not facts are kept.
const KEPT_LINES: usize = 20;

/// Parses facts line by line.
#[derive(Default)]
pub(super) struct FactsParser {
    facts: MixFacts,
    releases: Vec<String>,
    umbrella_roots: Vec<String>,
    /// Whether all facts have been read.
    pub(super) is_complete: bool,
    /// The last lines of other output.
    pub(super) other: VecDeque<String>,
}

impl FactsParser {
    /// Parses a line.
    pub(super) fn parse(&mut self, line: &str) {
        let Some((key, value)) = line.strip_prefix("gatling-fact ").and_then(|fact| fact.split_once(' ')) else {
            if self.other.len() == KEPT_LINES {
                self.other.pop_front();
            }
            if !line.is_empty() {
                self.other.push_back(line.to_owned());
            }
            return;
        };
        let value = unescaped(value);
        let facts = &mut self.facts;
        let endpoint = facts.endpoints.last_mut();
        match (key, endpoint) {
            ("app", _) if !value.is_empty() => facts.apps.push(value),
            ("version", _) => facts.version = value,
            ("release", _) => facts.release = value,
            ("release_is_declared", _) => facts.release_is_declared = true,
            ("release_folder", _) => facts.release_folder = Some(value),
            ("release_path", _) => facts.release_path = PathBuf::from(value),
            ("releases", _) => self.releases.push(value),
            ("umbrella_root", _) => self.umbrella_roots.push(value),
            ("dependency", _) => facts.dependencies.push(value),
            ("task", _) => facts.tasks.push(value),
            ("alias", _) => {
                facts.tasks.push(value.clone());
                facts.aliases.push(value);
            }
            ("child", _) => {
                let (folder, app) = pair(&value);
                facts.children.push(Child { folder, app, aliases: Vec::new() });
            }
            ("child_alias", _) => {
                let (folder, alias) = pair(&value);
                let child = facts.children.iter_mut().find(|child| child.folder == folder);
                child.into_iter().for_each(|child| child.aliases.push(alias.clone()));
            }
            ("repo", _) => facts.repos.push(pair(&value)),
            ("runtime_config", _) => facts.runtime_config = RuntimeConfig::Read,
            ("runtime_config_raises", _) => facts.runtime_config = RuntimeConfig::Raises(value),
            ("runtime_config_unknown", _) => facts.runtime_config = RuntimeConfig::Unknown,
            ("endpoint", _) => {
                let (app, module) = pair(&value);
                facts.endpoints.push(Endpoint { app, module, ..Endpoint::default() });
            }
            ("http", Some(endpoint)) => {
                endpoint.http = Some(if value == "loopback" { Listening::Loopback } else { Listening::Open });
            }
            ("server", Some(endpoint)) => endpoint.starts_server = true,
            ("origin", Some(endpoint)) => endpoint.sets_check_origin = true,
            ("host", Some(endpoint)) => endpoint.host = Some(value),
            ("force_ssl", Some(endpoint)) => endpoint.forces_ssl = true,
            ("manifest", Some(endpoint)) => endpoint.manifest = Some(value),
            ("elixir", _) => facts.versions.elixir = value,
            ("otp_release", _) => facts.versions.otp_release = value,
            ("otp_root", _) => {
                facts.versions.otp_version = otp_version(value.as_ref(), &facts.versions.otp_release);
            }
            ("elixir_requirement", _) => facts.requirement = Some(Requirement { text: value, is_met: false }),
            ("elixir_is_fit", _) => facts.requirement.iter_mut().for_each(|requirement| requirement.is_met = true),
            ("end", _) => self.is_complete = true,
            _ => {}
        }
    }

    /// The versions of Elixir and Erlang, which are the first facts.
    pub(super) fn versions(&self) -> &Versions {
        &self.facts.versions
    }

    /// The facts, after the last line.
    ///
    /// # Errors
    /// If mix.exs defines no app, or does not say which release to build.
    pub(super) fn finish(self) -> Result<MixFacts> {
        let Self { mut facts, releases, umbrella_roots, .. } = self;
        facts.tasks.sort();
        facts.tasks.dedup();
        if facts.apps.is_empty() {
            bail!(
                "mix.exs does not define a project with an :app: add `def project, do: [app: :my_app, version: \"0.1.0\"]`"
            );
        }
        if facts.release.is_empty() && !umbrella_roots.is_empty() {
            bail!(
                "this umbrella has several apps that no other app depends on ({}), and its mix.exs declares no release: add \
                 one, such as `releases: [{}: [applications: [{}]]]`",
                umbrella_roots.join(", "),
                umbrella_roots[0],
                umbrella_roots.iter().map(|app| format!("{app}: :permanent")).collect::<Vec<_>>().join(", ")
            );
        }
        if facts.release.is_empty() {
            bail!(
                "mix.exs has several releases ({}): choose the one to deploy with `default_release: :NAME`",
                releases.join(", ")
            );
        }
        Ok(facts)
    }
}

fn pair(value: &str) -> (String, String) {
    let (one, two) = value.split_once(' ').unwrap_or((value, ""));
    (one.to_owned(), two.to_owned())
}

fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.as_str().starts_with('n') => {
                chars.next();
                text.push('\n');
            }
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "warning: something\ngatling-fact app hello\ngatling-fact version 0.1.0\n\
        gatling-fact release hello\ngatling-fact release_path /b/rel/hello\ngatling-fact task release\n\
        gatling-fact task assets.deploy\nhello from mix.exs\ngatling-fact end \n";

    fn parsed(output: &str) -> Result<MixFacts> {
        let mut parser = FactsParser::default();
        output.lines().for_each(|line| parser.parse(line));
        assert!(parser.is_complete);
        parser.finish()
    }

    #[test]
    fn facts_are_found_among_other_output() {
        let facts = parsed(OUTPUT).expect("it can be parsed");
        assert_eq!((facts.apps.as_slice(), facts.version.as_str()), (["hello".to_owned()].as_slice(), "0.1.0"));
        assert!(facts.has_task("assets.deploy") && facts.has_task("release") && !facts.has_task("phx.digest"));
        assert!(!facts.release_is_declared && facts.requirement.is_none());
    }

    #[test]
    fn several_releases_without_a_default_are_an_error_that_names_them() {
        let releases = "release \ngatling-fact releases a\ngatling-fact releases b";
        let error = parsed(&OUTPUT.replace("release hello", releases)).expect_err("none is named").to_string();
        assert!(error.contains("a, b") && error.contains("default_release"), "{error}");
    }

    #[test]
    fn an_umbrella_with_several_roots_and_no_release_is_an_error_with_the_line_to_add() {
        let roots = "release \ngatling-fact umbrella_root a\ngatling-fact umbrella_root b";
        let error = parsed(&OUTPUT.replace("release hello", roots)).expect_err("none is named").to_string();
        assert!(error.contains("releases: [a: [applications: [a: :permanent, b: :permanent]]]"), "{error}");
    }

    #[test]
    fn settings_belong_to_the_endpoint_before_them() {
        let lines = "gatling-fact endpoint shop ShopWeb.Endpoint\ngatling-fact http open\ngatling-fact force_ssl \n\
            gatling-fact endpoint shop Admin.Endpoint\ngatling-fact http loopback\ngatling-fact origin own\n\
            gatling-fact runtime_config config/runtime.exs\ngatling-fact runtime_config_raises no \\\\ such\\nthing\n";
        let facts = parsed(&format!("{lines}{OUTPUT}")).expect("it can be parsed");
        let [shop, admin] = facts.endpoints.as_slice() else { panic!("{:?}", facts.endpoints) };
        assert_eq!(
            (shop.module.as_str(), shop.http, shop.forces_ssl),
            ("ShopWeb.Endpoint", Some(Listening::Open), true)
        );
        assert!(admin.sets_check_origin && !admin.forces_ssl && admin.http == Some(Listening::Loopback));
        assert_eq!(facts.runtime_config, RuntimeConfig::Raises("no \\ such\nthing".to_owned()));
    }
}
