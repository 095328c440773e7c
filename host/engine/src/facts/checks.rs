//! Problems of a project that can be found before the first step.

use std::fs;

use anyhow::{Result, bail};
use gatling_process::Variables;

use gatling_config::domains;
use gatling_config::paths::ProjectPaths;
use gatling_config::settings::OperatorSettings;
use gatling_pipeline::facts::Site;
use gatling_pipeline::facts::mix::{MixFacts, RuntimeConfig};

/// Checks that mix reports this project, and a version that can be deployed.
pub(super) fn check_facts(paths: &ProjectPaths, facts: &MixFacts) -> Result<()> {
    if !facts.apps.iter().any(|app| app == paths.name.as_str()) {
        let app = &facts.apps[0];
        let says = match facts.children.is_empty() {
            true => format!("mix.exs says `app: :{app}`"),
            false => format!("this umbrella's release and apps are called {}", facts.apps.join(", ")),
        };
        bail!(
            "{says}, but this project was loaded as {}: run `gatling load {app}` on the server, and push there",
            paths.name
        );
    }
    let fit = |c: char| c.is_ascii_alphanumeric() || ".-+_".contains(c);
    if facts.version.is_empty() || facts.version == "0.0.0" {
        bail!(
            "mix.exs has {}: set `version:` to the version that you deploy, such as \"0.1.0\"",
            match facts.version.as_str() {
                "" => "no version",
                _ => "the version 0.0.0, which cannot be deployed",
            }
        );
    }
    if !facts.version.chars().all(fit) || facts.version.starts_with('.') {
        bail!("mix.exs has the invalid version {:?}: set `version:` to one such as \"0.1.0\"", facts.version);
    }
    Ok(())
}

/// Without a variable that `config/runtime.exs` needs, the release would not start. This check finds that before the
/// release is built.
pub(super) fn check_runtime_config(paths: &ProjectPaths, facts: &MixFacts, variables: &Variables) -> Result<()> {
    let RuntimeConfig::Raises(why) = &facts.runtime_config else { return Ok(()) };
    let file = paths.build_dir().join("config/runtime.exs");
    let text = fs::read_to_string(file).unwrap_or_default();
    // A release can set variables of its own before it starts.
    let script = fs::read_to_string(paths.build_dir().join("rel/env.sh.eex")).unwrap_or_default();
    let is_missing = |name: &&str| {
        name.len() > 1
            && text.contains(&format!("\"{name}\""))
            && !script.contains(*name)
            && variables.get(name).is_none()
    };
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let Some(name) = why.split(|c| !is_part(c)).find(is_missing) else { return Ok(()) };
    bail!(
        "the app needs the variable {name}: config/runtime.exs raises an exception without it:\n    {}\n  Set it on the \
         server: gatling config set {} {name}=-\n  and type the value at the prompt",
        why.trim_end().replace('\n', "\n    "),
        paths.name
    );
}

/// An app that redirects every visitor to HTTPS cannot be used if nginx does not serve HTTPS.
pub(super) fn check_https(
    facts: &MixFacts,
    operator: &OperatorSettings,
    domains: &[String],
    site: &Site,
) -> Result<()> {
    let Some(endpoint) = facts.endpoints.iter().find(|endpoint| endpoint.forces_ssl) else { return Ok(()) };
    if site.is_own || operator.nginx.behind_proxy {
        return Ok(());
    }
    let plain: Vec<_> = domains.iter().filter(|domain| operator.nginx.certificate(domain).is_none()).collect();
    let Some(first) = plain.first() else { return Ok(()) };
    let all: Vec<_> = plain.iter().map(|domain| domain.as_str()).collect();
    bail!(
        "{module} has `force_ssl` in its config, but this server has no certificate for {names}: every visitor of \
         http://{host}/ would be redirected to https://{host}/, where no server answers.\n  Either add a certificate to \
         the operator's file:\n    [[nginx.certificates]]\n    domains = {all:?}\n    certificate = \
         \"/path/to/fullchain.pem\"\n    key = \"/path/to/privkey.pem\"\n  or, if another proxy in front of nginx serves \
         HTTPS:\n    [nginx]\n    behind_proxy = true\n  or remove `force_ssl: ...` from `config :{app}, {module}` in \
         config/prod.exs",
        names = all.join(", "),
        host = domains::example(first),
        module = endpoint.module,
        app = endpoint.app,
    );
}
