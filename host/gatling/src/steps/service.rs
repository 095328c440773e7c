//! The steps that install, start, upgrade and stop the service.

use std::path::Path;

use anyhow::{Result, bail};

use super::serving::Serving;
use super::{Action, logs, migrate, nginx, system};
use crate::env::Env;
use gatling_config::roots::ProjectPaths;
use gatling_process::{Command, Environment};
use gatling_runs::Change;
use gatling_templates as templates;

/// A call of the init script: by `service` where it is installed for the system. Elsewhere it is
/// called as `service` would: with a clean environment, in the root folder.
pub(crate) fn service<const N: usize>(paths: &ProjectPaths, sudo: bool, args: [&str; N]) -> Command {
    let mut command = script(paths, args);
    if paths.roots.etc_is_the_systems() {
        command.args.insert(0, paths.name.to_string());
        "service".clone_into(&mut command.program);
        command = command.as_root(sudo);
    }
    command
}

/// A call of the init script itself, which needs no rights but those of the app's user.
fn script<const N: usize>(paths: &ProjectPaths, args: [&str; N]) -> Command {
    let mut command = Command::new(&paths.init_script().display().to_string(), args, Path::new("/"));
    command.environment = Environment::Only(&["LANG", "PATH", "TERM"]);
    // Between stopping one release and starting another it must not die with Gatling.
    command.finishes_alone = true;
    command
}

pub(crate) fn install_init_script(env: &Env) -> Result<Vec<Action>> {
    if env.server.init_script.as_ref().is_some_and(|text| !text.contains(&templates::marker(&env.paths.name))) {
        bail!(
            "{} is there already, and is not this project's: if nothing needs it, move it away; otherwise load the \
             project under another name",
            env.etc_path.display()
        );
    }
    let staged = env.deploy_dir.join("init-script");
    let mut install = vec![place(env, &staged, &env.etc_path, "755")];
    if env.paths.roots.etc_is_the_systems() {
        install.push(Action::run(system(env, "update-rc.d", [&env.project, "defaults"])));
        install.extend(reload_systemd(env));
    }
    // An init script that is only newer than the one before it does no harm.
    let undo = if env.server.init_script.is_none() { uninstall(env) } else { Vec::new() };
    Ok(vec![
        Action::WriteFile { path: staged, contents: env.script_template.clone(), mode: 0o755 },
        Action::change(Change::Service, env.etc_path.display().to_string(), install, undo),
    ])
}

/// The step of the first deployment: the init script, and the rotation of the log that it writes.
pub(crate) fn install(env: &Env) -> Result<Vec<Action>> {
    let mut actions = install_init_script(env)?;
    actions.extend(logs::install(env));
    Ok(actions)
}

pub(crate) fn start(env: &Env) -> Result<Vec<Action>> {
    // A first deployment that was killed may have left its release running. A systemd that takes
    // the service for started would do nothing on `start`.
    let start = if env.server.was_started { "restart" } else { "start" };
    let marker = env.paths.deployed_marker();
    let start = vec![
        Action::run(service(&env.paths, env.server.sudo, [start])),
        Action::ProveServing(Box::new(serving(env))),
        Action::WriteFile { path: marker, contents: format!("{}\n", env.version), mode: 0o644 },
    ];
    Ok(vec![Action::change(Change::Release, env.release(), start, Vec::new()), keep(env)])
}

pub(crate) fn upgrade(env: &Env) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    let script = env.server.init_script.as_ref();
    let is_own = script.is_none_or(|text| text.contains(&templates::marker(&env.paths.name)));
    if is_own && script != Some(&env.script_template) {
        // It was written by another version of Gatling, or it is gone.
        actions.extend(install_init_script(env)?);
    }
    actions.extend(logs::install(env));
    actions.extend(migrate::from_release(env));
    let back = env.previous_version.as_ref().filter(|previous| **previous != env.release());
    let switch = vec![
        Action::run(service(&env.paths, env.server.sudo, ["upgrade", &env.release()])),
        Action::ProveServing(Box::new(serving(env))),
        Action::ProveSite(Box::new(nginx::in_use(env)?)),
    ];
    let back = back.map(|previous| Action::run(service(&env.paths, env.server.sudo, ["upgrade", previous])));
    actions.push(Action::change(Change::Release, env.release(), switch, back.into_iter().collect()));
    actions.push(keep(env));
    Ok(actions)
}

/// The latest releases that served stay, for whoever wants to go back; without an end the disk would
/// fill.
fn keep(env: &Env) -> Action {
    let needed = [Some(env.release()), env.previous_version.clone()].into_iter().flatten().collect();
    Action::KeepReleases { paths: env.paths.clone(), serves: env.release(), needed }
}

pub(crate) fn stop(env: &Env) -> Result<Vec<Action>> {
    // Without its folder the script can't tell what runs, and an `unload` that was cut short, or a
    // folder that somebody removed, must not be in the way of the rest.
    let there = [(&env.etc_path, env.server.init_script.is_some()), (&env.deploy_dir, env.server.has_deploy_dir)];
    if let Some((missing, _)) = there.into_iter().find(|(_, is_there)| !is_there) {
        return Ok(vec![Action::skip(format!("{} is not there", missing.display()))]);
    }
    let mut stop = vec![Action::run(service(&env.paths, env.server.sudo, ["stop"]))];
    if env.paths.roots.etc_is_the_systems() {
        // A systemd that does not know that the app runs stops nothing.
        stop.push(Action::run(script(&env.paths, ["stop"])));
    }
    stop.push(Action::EndEpmd { paths: env.paths.clone() });
    Ok(vec![Action::change(Change::Project, "not running", stop, Vec::new())])
}

pub(crate) fn remove_init_script(env: &Env) -> Result<Vec<Action>> {
    let is_ours =
        env.server.init_script.as_ref().is_some_and(|text| text.contains(&templates::marker(&env.paths.name)));
    if !is_ours {
        return Ok(vec![Action::skip(format!("{} is not there", env.etc_path.display()))]);
    }
    let mut actions = uninstall(env);
    actions.extend(logs::remove(env));
    Ok(vec![Action::change(Change::Service, "no init script", actions, Vec::new())])
}

fn uninstall(env: &Env) -> Vec<Action> {
    let mut actions = vec![Action::run(system(env, "rm", ["-f", &env.etc_path.display().to_string()]))];
    if env.paths.roots.etc_is_the_systems() {
        actions.push(Action::run(system(env, "update-rc.d", [&env.project, "remove"])));
        actions.extend(reload_systemd(env));
    }
    actions
}

pub(crate) fn serving(env: &Env) -> Serving {
    Serving {
        paths: env.paths.clone(),
        release: env.release(),
        port: env.available_port,
        endpoints: env.facts.endpoints.iter().map(|endpoint| endpoint.module.clone()).collect(),
        hosts: env.site.hosts.clone(),
        domains: env.domains.clone(),
    }
}

fn reload_systemd(env: &Env) -> Option<Action> {
    // systemd made its unit for the script when it last looked, and doesn't look by itself.
    env.server.has_systemd.then(|| Action::run(system(env, "systemctl", ["daemon-reload"])))
}

/// Puts a file of the deploy dir into a folder of the system.
pub(super) fn place(env: &Env, from: &Path, to: &Path, mode: &str) -> Action {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    Action::run(system(env, "install", ["-m", mode, &from, &to]))
}
