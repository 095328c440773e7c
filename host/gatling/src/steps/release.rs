//! The steps that bring a built release into the deploy dir.
//!
//! Every release has a folder of its own, `releases/<version>/<project>`. Beside it stand the
//! settings it was deployed with: `service.env` for the init script, and `.env`, the environment of
//! every command of the release. `current` links to the one that serves.

use std::path::Path;

use anyhow::Result;

use super::{Action, assets};
use crate::env::Env;
use crate::mix::{Listening, RuntimeConfig};
use gatling_config::domains;
use gatling_config::dotenv::Dotenv;
use gatling_process::shell;
use gatling_process::{Command, Variables};
use gatling_templates as templates;

/// Variables that the script of a release sets for itself, before it reads its environment.
const SCRIPTS_OWN: [&str; 5] = ["SELF", "REL_VSN_DIR", "RELEASE_ROOT", "RELEASE_COMMAND", "RELEASE_PROG"];

pub(crate) fn make_deploy_dir(env: &Env) -> Result<Vec<Action>> {
    let below = |name: &str| Action::MakeDir { path: env.deploy_dir.join(name) };
    let mut actions = vec![below("releases"), below("log"), below("run")];
    actions.extend(make_upgrade_dir(env)?);
    Ok(actions)
}

pub(crate) fn make_upgrade_dir(env: &Env) -> Result<Vec<Action>> {
    let half_made = env.server.half_made.iter().filter(|folder| **folder != env.upgrade_dir);
    // What runs that failed have left; the release that serves is in none of these folders.
    let mut actions: Vec<_> = half_made.cloned().map(|path| Action::Clear { path }).collect();
    actions.extend(assets::make_folder(env));
    actions.extend([
        Action::Clear { path: env.upgrade_dir.clone() },
        Action::MakeDir { path: env.upgrade_dir.clone() },
        Action::WriteFile { path: env.upgrade_dir.join("service.env"), contents: service_env(env), mode: 0o644 },
        Action::WriteFile {
            path: env.upgrade_dir.join(".env"),
            contents: environment(env, &env.variables)?.to_string(),
            mode: 0o600,
        },
    ]);
    Ok(actions)
}

/// What the init script has to know of a release. It goes with the release, so that one that is
/// put back gets back what it had.
fn service_env(env: &Env) -> String {
    let host = env.site.hosts.first().map_or("localhost", String::as_str);
    let scheme = if env.site.door(host).https.is_some() || env.operator.nginx.behind_proxy { "https" } else { "http" };
    let health = &env.settings.health;
    let settings = [
        ("PROGRAM", env.facts.release.clone()),
        ("PORT", env.available_port.to_string()),
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
pub(crate) fn environment(env: &Env, variables: &Variables) -> Result<Dotenv> {
    let host = domains::main(&env.domains).or(env.site.hosts.first().map(String::as_str)).unwrap_or("localhost");
    complete(env.paths.name.as_str(), host, env.available_port, variables)
}

/// As [`environment`], from what it depends on.
///
/// # Errors
/// When a variable can't be one.
pub(crate) fn complete(project: &str, host: &str, port: u16, variables: &Variables) -> Result<Dotenv> {
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
fn adapt(env: &Env, release: &Path) -> Vec<Action> {
    let version = release.join("releases").join(&env.version);
    let append = |file: &str, text: &str| Action::Append { path: version.join(file), text: text.to_owned() };
    let mut actions = vec![append("env.sh", templates::RELEASE_ENV)];
    if let Some(text) = runtime_config(env) {
        actions.push(append("runtime.exs", &text));
    }
    actions
}

/// What is added to the release's `runtime.exs`: it was read, so that it is known what it leaves out.
fn runtime_config(env: &Env) -> Option<String> {
    if env.facts.runtime_config != RuntimeConfig::Read {
        return None;
    }
    let mut lines = Vec::new();
    for endpoint in &env.facts.endpoints {
        let mut options = Vec::new();
        if endpoint.http == Some(Listening::Open) {
            options.push("http: [ip: {127, 0, 0, 1}]".to_owned());
        }
        if !endpoint.sets_check_origin && !env.domains.is_empty() {
            options.push(format!("check_origin: {}", origins(&env.domains)));
        }
        // What the generators write in the place of a host name.
        let host = domains::main(&env.domains).filter(|_| endpoint.host.as_deref() == Some("example.com"));
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
pub(crate) fn origins(domains: &[String]) -> String {
    let origin = |domain: &String| match domain.strip_prefix('.') {
        Some(parent) => format!("\"//{parent}\", \"//*.{parent}\""),
        None => format!("\"//{domain}\""),
    };
    format!("[{}]", domains.iter().map(origin).collect::<Vec<_>>().join(", "))
}

pub(crate) fn copy_to_deploy(env: &Env) -> Result<Vec<Action>> {
    let partial = partial(&env.deploy_path);
    Ok(vec![
        here(env, "tar", ["-czf", &partial, "-C", &text(&env.built_release_path), "."]),
        rename(env, &partial, &env.deploy_path),
    ])
}

pub(crate) fn expand(env: &Env) -> Result<Vec<Action>> {
    let partial = partial(&env.upgrade_path);
    let mut actions = vec![
        Action::MakeDir { path: partial.clone().into() },
        here(env, "tar", ["-xzf", &text(&env.deploy_path), "-C", &partial]),
    ];
    actions.extend(adapt(env, partial.as_ref()));
    actions.extend(assets::publish(env, partial.as_ref()));
    actions.extend([
        rename(env, &partial, &env.upgrade_path),
        link(env, "current.new"),
        rename(env, "current.new", &env.paths.current_link()),
        here(env, "rm", ["-f", &text(&env.deploy_path)]),
    ]);
    Ok(actions)
}

pub(crate) fn copy_to_upgrade(env: &Env) -> Result<Vec<Action>> {
    let partial = partial(&env.upgrade_path);
    let mut actions = vec![here(env, "cp", ["-a", "--reflink=auto", &text(&env.built_release_path), &partial])];
    actions.extend(adapt(env, partial.as_ref()));
    actions.extend(assets::publish(env, partial.as_ref()));
    actions.push(rename(env, &partial, &env.upgrade_path));
    Ok(actions)
}

/// A command in the deploy dir that is nothing for the eyes of whoever pushed.
fn here<const N: usize>(env: &Env, program: &str, args: [&str; N]) -> Action {
    Action::run(Command::new(program, args, &env.deploy_dir).quiet())
}

fn link(env: &Env, name: &str) -> Action {
    let target = format!("releases/{}", env.release());
    here(env, "ln", ["-sfn", &target, name])
}

/// A rename puts a whole thing in its place in one go, whatever happens to the machine.
fn rename(env: &Env, from: &str, to: &Path) -> Action {
    here(env, "mv", ["-T", "-f", from, &text(to)])
}

fn partial(path: &Path) -> String {
    format!("{}.partial", path.display())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
