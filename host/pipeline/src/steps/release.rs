//! The steps that copy a built release into the deploy dir.
//!
//! Every release has its own folder, `releases/<version>/<project>`. Next to it are the settings that it was
//! deployed with: `service.env` for the init script, and `.env`, the environment of every command of the release.
//! `current` is a symlink to the current release.

use std::path::Path;

use anyhow::Result;

use super::{assets, migrate};
use crate::action::Action;
use crate::facts::Facts;
use crate::facts::mix::{Listening, RuntimeConfig};
use gatling_config::domains;
use gatling_config::dotenv::Dotenv;
use gatling_config::slot::Slot;
use gatling_process::shell;
use gatling_process::{Command, Variables};
use gatling_templates as templates;

/// Variables that the script of a release sets before it reads its environment.
const SET_BY_RELEASE_SCRIPT: [&str; 5] = ["SELF", "REL_VSN_DIR", "RELEASE_ROOT", "RELEASE_COMMAND", "RELEASE_PROG"];

pub(crate) fn make_deploy_dir(facts: &Facts) -> Result<Vec<Action>> {
    let below = |name: &str| Action::MakeDir { path: facts.deploy_dir.join(name) };
    let mut actions = vec![below("releases"), below("log"), below("run")];
    // It is removed at the end of the run.
    let marker = facts.paths.deploying_marker();
    actions.push(Action::WriteFile { path: marker, contents: String::new(), mode: 0o644 });
    actions.extend(make_upgrade_dir(facts)?);
    Ok(actions)
}

pub(crate) fn make_upgrade_dir(facts: &Facts) -> Result<Vec<Action>> {
    let incomplete = facts.server.incomplete_releases.iter().filter(|folder| **folder != facts.upgrade_dir);
    // Failed runs left these folders; the current release is in none of them.
    let mut actions: Vec<_> = incomplete.cloned().map(|path| Action::Clear { path }).collect();
    actions.extend(super::remove_drafts(facts));
    actions.extend(assets::make_folder(facts));
    actions.extend([
        Action::Clear { path: facts.upgrade_dir.clone() },
        Action::MakeDir { path: facts.upgrade_dir.clone() },
    ]);
    actions.extend(settings(facts)?);
    Ok(actions)
}

/// Writes the settings of the release.
pub(crate) fn settings(facts: &Facts) -> Result<[Action; 2]> {
    let service = facts.upgrade_dir.join("service.env");
    let environment = environment(facts, &facts.variables)?.to_string();
    Ok([
        Action::WriteFile { path: service, contents: service_env(facts), mode: 0o644 },
        Action::WriteFile { path: facts.upgrade_dir.join(".env"), contents: environment, mode: 0o600 },
    ])
}

/// The settings of a release for the init script. They are stored with the release, so that a restored release keeps
/// its own.
fn service_env(facts: &Facts) -> String {
    let host = facts.site.hosts.first().map_or("localhost", String::as_str);
    let scheme =
        if facts.site.endpoints(host).https.is_some() || facts.operator.nginx.behind_proxy { "https" } else { "http" };
    let health = &facts.settings.health;
    let settings = [
        ("COMMIT", facts.commit.clone()),
        ("PROGRAM", facts.mix.release.clone()),
        ("REPOS", migrate::repositories(facts)),
        ("SLOT", facts.slot.to_string()),
        ("PORT", facts.available_port.to_string()),
        ("OTHER_PORT", facts.ports.of(facts.slot.other()).to_string()),
        ("TOKEN", facts.ports.token.clone()),
        ("HOST", host.to_owned()),
        ("SCHEME", scheme.to_owned()),
        ("HEALTH_PATH", health.path.clone()),
        ("HEALTH_STATUS", health.status.map(|status| status.to_string()).unwrap_or_default()),
        ("HEALTH_SUCCESSES", health.successes.to_string()),
        ("HEALTH_SECONDS", health.timeout.as_secs().to_string()),
        ("WATCH_SECONDS", health.watch.as_secs().to_string()),
        ("SOAK_SECONDS", health.soak.as_secs().to_string()),
        ("SOAK_ERRORS", health.soak_errors.to_string()),
        ("DRAIN_SECONDS", facts.settings.drain_timeout().as_secs().to_string()),
    ];
    settings.iter().map(|(name, value)| format!("GATLING_{name}={}\n", shell::quoted(value))).collect()
}

/// The environment of a release: the variables that it needs on this server, then the project's own.
///
/// # Errors
/// If a variable is invalid.
pub fn environment(facts: &Facts, variables: &Variables) -> Result<Dotenv> {
    let host = domains::main(&facts.domains).or(facts.site.hosts.first().map(String::as_str)).unwrap_or("localhost");
    release_environment(facts.paths.name.as_str(), host, facts.slot, facts.available_port, variables)
}

/// The environment of a release, from the values that it depends on.
///
/// # Errors
/// If a variable is invalid.
pub fn release_environment(project: &str, host: &str, slot: Slot, port: u16, variables: &Variables) -> Result<Dotenv> {
    // Erlang accepts no IP address in a short name.
    let is_short = variables.get("RELEASE_DISTRIBUTION") == Some("sname");
    let node = format!("{project}@{}", if is_short { "localhost" } else { "127.0.0.1" });
    let node = slot.node(variables.get("RELEASE_NODE").unwrap_or(&node));
    let defaults = [
        ("PHX_HOST", host),
        ("RELEASE_DISTRIBUTION", "name"),
        ("RELEASE_NODE", node.as_str()),
        // By default, Erlang's distribution listens on every interface. And an upgrade does not wait until the old
        // release has stopped, so it must stop by itself within a time, in milliseconds.
        ("ERL_EPMD_ADDRESS", "127.0.0.1"),
        ("ERL_AFLAGS", "-kernel inet_dist_use_interface {127,0,0,1} -shutdown_time 30000"),
    ];
    let port = port.to_string();
    let own = variables.iter().filter(|(name, _)| *name != "RELEASE_NODE");
    let mut dotenv = Dotenv::default();
    for (name, value) in defaults.into_iter().chain(own).chain([("PORT", port.as_str())]) {
        if !SET_BY_RELEASE_SCRIPT.contains(&name) {
            dotenv.set(name, value)?;
        }
    }
    Ok(dotenv)
}

/// Makes every command of the release read the `.env` next to it, and adapts the app's config to this server.
fn adapt(facts: &Facts, release: &Path) -> Vec<Action> {
    let version = release.join("releases").join(&facts.version);
    let append = |file: &str, text: &str| Action::Append { path: version.join(file), text: text.to_owned() };
    let mut actions = vec![append("env.sh", templates::RELEASE_ENV)];
    if let Some(text) = runtime_config(facts) {
        actions.push(append("runtime.exs", &text));
    }
    actions
}

/// The settings that the project's `runtime.exs` leaves out, which are appended to the release's. None if it could
/// not be read.
fn runtime_config(facts: &Facts) -> Option<String> {
    if facts.mix.runtime_config != RuntimeConfig::Read {
        return None;
    }
    let mut lines = Vec::new();
    for endpoint in &facts.mix.endpoints {
        let mut options = Vec::new();
        if endpoint.http == Some(Listening::Open) {
            options.push("http: [ip: {127, 0, 0, 1}]".to_owned());
        }
        if !endpoint.sets_check_origin && !facts.domains.is_empty() {
            options.push(format!("check_origin: {}", origins(&facts.domains)));
        }
        // The placeholder that Phoenix's generators write.
        let host = domains::main(&facts.domains).filter(|_| endpoint.host.as_deref() == Some("example.com"));
        options.extend(host.map(|host| format!("url: [host: \"{host}\"]")));
        let config = |options: &str| format!("config(:{}, {}, {options})\n", endpoint.app, endpoint.module);
        if !options.is_empty() {
            lines.push(config(&options.join(", ")));
        }
        if !endpoint.starts_server {
            lines.push(format!("if System.get_env(\"PHX_SERVER\"), do: {}", config("server: true")));
        }
    }
    let text = templates::release_runtime(&lines.concat());
    (!lines.is_empty()).then_some(text)
}

/// The value of `check_origin` that allows these host names.
#[must_use]
pub fn origins(domains: &[String]) -> String {
    let origin = |domain: &String| match domain.strip_prefix('.') {
        Some(parent) => format!("\"//{parent}\", \"//*.{parent}\""),
        None => format!("\"//{domain}\""),
    };
    format!("[{}]", domains.iter().map(origin).collect::<Vec<_>>().join(", "))
}

pub(crate) fn copy_to_deploy(facts: &Facts) -> Result<Vec<Action>> {
    let partial = partial(&facts.deploy_path);
    Ok(vec![
        in_deploy_dir(facts, "tar", ["-czf", &partial, "-C", &text(&facts.built_release_path), "."]),
        rename(facts, &partial, &facts.deploy_path),
    ])
}

pub(crate) fn expand(facts: &Facts) -> Result<Vec<Action>> {
    let partial = partial(&facts.upgrade_path);
    let mut actions = vec![
        Action::MakeDir { path: partial.clone().into() },
        in_deploy_dir(facts, "tar", ["-xzf", &text(&facts.deploy_path), "-C", &partial]),
    ];
    actions.extend(adapt(facts, partial.as_ref()));
    actions.extend(assets::publish(facts, partial.as_ref()));
    actions.push(rename(facts, &partial, &facts.upgrade_path));
    actions.push(in_deploy_dir(facts, "rm", ["-f", &text(&facts.deploy_path)]));
    Ok(actions)
}

pub(crate) fn copy_to_upgrade(facts: &Facts) -> Result<Vec<Action>> {
    let partial = partial(&facts.upgrade_path);
    let mut actions =
        vec![in_deploy_dir(facts, "cp", ["-a", "--reflink=auto", &text(&facts.built_release_path), &partial])];
    actions.extend(adapt(facts, partial.as_ref()));
    actions.extend(assets::publish(facts, partial.as_ref()));
    actions.push(rename(facts, &partial, &facts.upgrade_path));
    Ok(actions)
}

/// A quiet command in the deploy dir.
fn in_deploy_dir<const N: usize>(facts: &Facts, program: &str, args: [&str; N]) -> Action {
    Action::run(Command::new(program, args, &facts.deploy_dir).quiet())
}

/// Renames a file or folder: a rename is atomic.
fn rename(facts: &Facts, from: &str, to: &Path) -> Action {
    in_deploy_dir(facts, "mv", ["-T", "-f", from, &text(to)])
}

fn partial(path: &Path) -> String {
    format!("{}.partial", path.display())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
