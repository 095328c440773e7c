//! The steps that bring a built release into the deploy dir.
//!
//! Every release has a folder of its own, `releases/<version>/<project>`. Beside it stand the
//! settings it was deployed with: `service.env` for the init script, and `.env`, the environment of
//! every command of the release. `current` links to the one that serves.

use std::path::Path;

use anyhow::Result;

use super::assets;
use crate::action::Action;
use crate::facts::Facts;
use crate::facts::mix::{Listening, RuntimeConfig};
use gatling_config::domains;
use gatling_config::dotenv::Dotenv;
use gatling_process::shell;
use gatling_process::{Command, Variables};
use gatling_templates as templates;

/// Variables that the script of a release sets for itself, before it reads its environment.
const SCRIPTS_OWN: [&str; 5] = ["SELF", "REL_VSN_DIR", "RELEASE_ROOT", "RELEASE_COMMAND", "RELEASE_PROG"];

pub(crate) fn make_deploy_dir(facts: &Facts) -> Result<Vec<Action>> {
    let below = |name: &str| Action::MakeDir { path: facts.deploy_dir.join(name) };
    let mut actions = vec![below("releases"), below("log"), below("run")];
    actions.extend(make_upgrade_dir(facts)?);
    Ok(actions)
}

pub(crate) fn make_upgrade_dir(facts: &Facts) -> Result<Vec<Action>> {
    let half_made = facts.server.half_made.iter().filter(|folder| **folder != facts.upgrade_dir);
    // What runs that failed have left; the release that serves is in none of these folders.
    let mut actions: Vec<_> = half_made.cloned().map(|path| Action::Clear { path }).collect();
    actions.extend(assets::make_folder(facts));
    actions.extend([
        Action::Clear { path: facts.upgrade_dir.clone() },
        Action::MakeDir { path: facts.upgrade_dir.clone() },
        Action::WriteFile { path: facts.upgrade_dir.join("service.env"), contents: service_env(facts), mode: 0o644 },
        Action::WriteFile {
            path: facts.upgrade_dir.join(".env"),
            contents: environment(facts, &facts.variables)?.to_string(),
            mode: 0o600,
        },
    ]);
    Ok(actions)
}

/// What the init script has to know of a release. It goes with the release, so that one that is
/// put back gets back what it had.
fn service_env(facts: &Facts) -> String {
    let host = facts.site.hosts.first().map_or("localhost", String::as_str);
    let scheme =
        if facts.site.door(host).https.is_some() || facts.operator.nginx.behind_proxy { "https" } else { "http" };
    let health = &facts.settings.health;
    let settings = [
        ("PROGRAM", facts.mix.release.clone()),
        ("PORT", facts.available_port.to_string()),
        ("HOST", host.to_owned()),
        ("SCHEME", scheme.to_owned()),
        ("HEALTH_PATH", health.path.clone()),
        ("HEALTH_SECONDS", health.timeout.as_secs().to_string()),
        ("WATCH_SECONDS", health.watch.as_secs().to_string()),
    ];
    settings.iter().map(|(name, value)| format!("GATLING_{name}={}\n", shell::quoted(value))).collect()
}

/// The environment of a release: what it needs on this server, then the project's own variables.
///
/// # Errors
/// When a variable can't be one.
pub(crate) fn environment(facts: &Facts, variables: &Variables) -> Result<Dotenv> {
    let host = domains::main(&facts.domains).or(facts.site.hosts.first().map(String::as_str)).unwrap_or("localhost");
    release_environment(facts.paths.name.as_str(), host, facts.available_port, variables)
}

/// As [`environment`], from what it depends on.
///
/// # Errors
/// When a variable can't be one.
pub fn release_environment(project: &str, host: &str, port: u16, variables: &Variables) -> Result<Dotenv> {
    let node = format!("{project}@127.0.0.1");
    let defaults = [
        ("PHX_HOST", host),
        ("RELEASE_DISTRIBUTION", "name"),
        ("RELEASE_NODE", node.as_str()),
        // Erlang's distribution listens on every interface, unless it is told to keep to this machine.
        ("ERL_EPMD_ADDRESS", "127.0.0.1"),
        ("ERL_AFLAGS", "-kernel inet_dist_use_interface {127,0,0,1}"),
    ];
    let port = port.to_string();
    let own = variables.iter();
    let mut dotenv = Dotenv::default();
    for (name, value) in defaults.into_iter().chain(own).chain([("PORT", port.as_str())]) {
        if !SCRIPTS_OWN.contains(&name) {
            dotenv.set(name, value)?;
        }
    }
    Ok(dotenv)
}

/// Has every command of the release start with the environment that stands beside it, and the app
/// keep to what this server is for.
fn adapt(facts: &Facts, release: &Path) -> Vec<Action> {
    let version = release.join("releases").join(&facts.version);
    let append = |file: &str, text: &str| Action::Append { path: version.join(file), text: text.to_owned() };
    let mut actions = vec![append("env.sh", templates::RELEASE_ENV)];
    if let Some(text) = runtime_config(facts) {
        actions.push(append("runtime.exs", &text));
    }
    actions
}

/// What is added to the release's `runtime.exs`: it was read, so that it is known what it leaves out.
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
        // What the generators write in the place of a host name.
        let host = domains::main(&facts.domains).filter(|_| endpoint.host.as_deref() == Some("example.com"));
        options.extend(host.map(|host| format!("url: [host: \"{host}\"]")));
        let config = |options: &str| format!("config(:{}, {}, {options})\n", endpoint.app, endpoint.module);
        if !options.is_empty() {
            lines.push(config(&options.join(", ")));
        }
        if !endpoint.serves {
            lines.push(format!("if System.get_env(\"PHX_SERVER\"), do: {}", config("server: true")));
        }
    }
    let text = templates::release_runtime(&lines.concat());
    (!lines.is_empty()).then_some(text)
}

/// The value of `check_origin` that lets in the visitors of these host names.
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
        here(facts, "tar", ["-czf", &partial, "-C", &text(&facts.built_release_path), "."]),
        rename(facts, &partial, &facts.deploy_path),
    ])
}

pub(crate) fn expand(facts: &Facts) -> Result<Vec<Action>> {
    let partial = partial(&facts.upgrade_path);
    let mut actions = vec![
        Action::MakeDir { path: partial.clone().into() },
        here(facts, "tar", ["-xzf", &text(&facts.deploy_path), "-C", &partial]),
    ];
    actions.extend(adapt(facts, partial.as_ref()));
    actions.extend(assets::publish(facts, partial.as_ref()));
    actions.extend([
        rename(facts, &partial, &facts.upgrade_path),
        link(facts, "current.new"),
        rename(facts, "current.new", &facts.paths.current_link()),
        here(facts, "rm", ["-f", &text(&facts.deploy_path)]),
    ]);
    Ok(actions)
}

pub(crate) fn copy_to_upgrade(facts: &Facts) -> Result<Vec<Action>> {
    let partial = partial(&facts.upgrade_path);
    let mut actions = vec![here(facts, "cp", ["-a", "--reflink=auto", &text(&facts.built_release_path), &partial])];
    actions.extend(adapt(facts, partial.as_ref()));
    actions.extend(assets::publish(facts, partial.as_ref()));
    actions.push(rename(facts, &partial, &facts.upgrade_path));
    Ok(actions)
}

/// A command in the deploy dir that is nothing for the eyes of whoever pushed.
fn here<const N: usize>(facts: &Facts, program: &str, args: [&str; N]) -> Action {
    Action::run(Command::new(program, args, &facts.deploy_dir).quiet())
}

fn link(facts: &Facts, name: &str) -> Action {
    let target = format!("releases/{}", facts.release());
    here(facts, "ln", ["-sfn", &target, name])
}

/// A rename puts a whole thing in its place in one go, whatever happens to the machine.
fn rename(facts: &Facts, from: &str, to: &Path) -> Action {
    here(facts, "mv", ["-T", "-f", from, &text(to)])
}

fn partial(path: &Path) -> String {
    format!("{}.partial", path.display())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
