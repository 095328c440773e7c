//! The steps that install, start, upgrade and stop the service.

use std::path::Path;

use anyhow::{Result, bail};

use super::{install_file, logs, migrate, nginx, system_command};
use crate::action::{Action, ReleaseProof};
use crate::facts::Facts;
use gatling_config::roots::ProjectPaths;
use gatling_process::{Command, Environment};
use gatling_runs::Change;
use gatling_templates as templates;

/// A call of the init script: through `service` if it is installed for the system, otherwise directly, but as
/// `service` would call it: with a clean environment, in the root folder.
pub fn service<const N: usize>(paths: &ProjectPaths, sudo: bool, args: [&str; N]) -> Command {
    let mut command = script(paths, args);
    if paths.roots.uses_system_init() {
        command.args.insert(0, paths.name.to_string());
        "service".clone_into(&mut command.program);
        command = command.as_root(sudo);
    }
    command
}

/// A direct call of the init script, with only the rights of the app's user.
fn script<const N: usize>(paths: &ProjectPaths, args: [&str; N]) -> Command {
    let mut command = Command::new(&paths.init_script().display().to_string(), args, Path::new("/"));
    command.environment = Environment::only(["LANG", "PATH", "TERM"]);
    // It must not be killed with Gatling between stopping one release and starting another.
    command.outlives_gatling = true;
    command
}

pub(crate) fn install_init_script(facts: &Facts) -> Result<Vec<Action>> {
    if facts.server.init_script.as_ref().is_some_and(|text| !text.contains(&templates::marker(&facts.paths.name))) {
        bail!(
            "{} already exists and does not belong to this project: if nothing needs it, move it away; otherwise load \
             the project under another name",
            facts.etc_path.display()
        );
    }
    let staged = facts.deploy_dir.join("init-script");
    let mut install = install_file(facts, &staged, &facts.etc_path, "755");
    if facts.paths.roots.uses_system_init() {
        install.push(Action::run(system_command(facts, "update-rc.d", [&facts.project, "defaults"])));
        install.extend(reload_systemd(facts).map(Action::Run));
    }
    // A newer version of an existing init script can stay.
    let undo = if facts.server.init_script.is_none() { uninstall(facts) } else { Vec::new() };
    Ok(vec![
        Action::WriteFile { path: staged, contents: facts.script_template.clone(), mode: 0o755 },
        Action::change(Change::Service, facts.etc_path.display().to_string(), install, undo),
    ])
}

/// The step of the first deployment: installs the init script and the rotation of its log.
pub(crate) fn install(facts: &Facts) -> Result<Vec<Action>> {
    let mut actions = install_init_script(facts)?;
    actions.extend(logs::install(facts));
    Ok(actions)
}

pub(crate) fn start(facts: &Facts) -> Result<Vec<Action>> {
    if facts.previous_version.is_some() {
        // The first deployment failed after it had started the app.
        let mut actions = commit_release(facts);
        actions.extend([switch(facts)?, keep_releases(facts)]);
        return Ok(actions);
    }
    let marker = facts.paths.deployed_marker();
    let release = facts.release();
    // It becomes the current release, which the server starts when it boots, once it has answered.
    let start = vec![
        Action::run(service(&facts.paths, facts.server.sudo, ["upgrade", &release])),
        Action::ProveServing(Box::new(proof(facts))),
        Action::WriteFile { path: marker, contents: format!("{}\n", facts.version), mode: 0o644 },
    ];
    let mut actions = commit_release(facts);
    actions.extend([Action::change(Change::Release, release, start, Vec::new()), keep_releases(facts)]);
    Ok(actions)
}

pub(crate) fn upgrade(facts: &Facts) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    let script = facts.server.init_script.as_ref();
    let is_own = script.is_none_or(|text| text.contains(&templates::marker(&facts.paths.name)));
    if is_own && script != Some(&facts.script_template) {
        // Another version of Gatling wrote it, or it is missing.
        actions.extend(install_init_script(facts)?);
    }
    actions.extend(logs::install(facts));
    actions.extend(migrate::from_release(facts));
    actions.extend(commit_release(facts));
    actions.extend([switch(facts)?, keep_releases(facts)]);
    Ok(actions)
}

/// Makes sure that the release is still there, whole, if the power fails after the switch, and that its name is not used
/// again.
fn commit_release(facts: &Facts) -> Vec<Action> {
    let mut names = facts.server.names.clone();
    names.push(facts.release());
    vec![
        Action::SyncRelease { path: facts.upgrade_dir.clone() },
        Action::WriteFile { path: facts.paths.names_file(), contents: names.join("\n") + "\n", mode: 0o644 },
    ]
}

/// Replaces the release that serves with the new one, or puts it back if the new one does not serve.
fn switch(facts: &Facts) -> Result<Action> {
    let upgrade = |release: &str| service(&facts.paths, facts.server.sudo, ["upgrade", release]);
    let previous = facts.previous_version.as_ref().filter(|previous| **previous != facts.release());
    let switch = vec![
        Action::run(upgrade(&facts.release())),
        Action::ProveServing(Box::new(proof(facts))),
        Action::ProveSite(Box::new(nginx::in_use(facts)?)),
    ];
    let undo = previous.map(|previous| upgrade(previous)).into_iter().collect();
    Ok(Action::change(Change::Release, facts.release(), switch, undo))
}

/// Keeps the latest releases that served, for a rollback, and removes the others, which would fill the disk.
fn keep_releases(facts: &Facts) -> Action {
    let needed = [Some(facts.release()), facts.previous_version.clone()].into_iter().flatten().collect();
    let keep = Action::KeepReleases { paths: facts.paths.clone(), serves: facts.release(), needed };
    Action::change(Change::OldReleases, "the latest that served", vec![keep], Vec::new())
}

pub(crate) fn stop(facts: &Facts) -> Result<Vec<Action>> {
    // Without its folder the script cannot tell what runs. If an interrupted `unload` or a user removed the folder, the
    // other steps must still run.
    let there =
        [(&facts.etc_path, facts.server.init_script.is_some()), (&facts.deploy_dir, facts.server.has_deploy_dir)];
    if let Some((missing, _)) = there.into_iter().find(|(_, is_there)| !is_there) {
        return Ok(vec![Action::skip(format!("{} does not exist", missing.display()))]);
    }
    let mut stop = vec![Action::run(service(&facts.paths, facts.server.sudo, ["stop"]))];
    if facts.paths.roots.uses_system_init() {
        // If systemd does not know that the app runs, it stops nothing.
        stop.push(Action::run(script(&facts.paths, ["stop"])));
    }
    stop.push(Action::EndEpmd { paths: facts.paths.clone() });
    Ok(vec![Action::change(Change::Project, "not running", stop, Vec::new())])
}

pub(crate) fn remove_init_script(facts: &Facts) -> Result<Vec<Action>> {
    let is_ours =
        facts.server.init_script.as_ref().is_some_and(|text| text.contains(&templates::marker(&facts.paths.name)));
    if !is_ours {
        return Ok(vec![Action::skip(format!("{} does not exist", facts.etc_path.display()))]);
    }
    let mut actions: Vec<_> = uninstall(facts).into_iter().map(Action::Run).collect();
    actions.extend(logs::remove(facts));
    actions.extend(super::remove_drafts(facts));
    Ok(vec![Action::change(Change::Service, "no init script", actions, Vec::new())])
}

fn uninstall(facts: &Facts) -> Vec<Command> {
    let mut commands = vec![system_command(facts, "rm", ["-f", &facts.etc_path.display().to_string()])];
    if facts.paths.roots.uses_system_init() {
        commands.push(system_command(facts, "update-rc.d", [&facts.project, "remove"]));
        commands.extend(reload_systemd(facts));
    }
    commands
}

pub(crate) fn proof(facts: &Facts) -> ReleaseProof {
    ReleaseProof {
        paths: facts.paths.clone(),
        release: facts.release(),
        port: facts.available_port,
        endpoints: facts.mix.endpoints.iter().map(|endpoint| endpoint.module.clone()).collect(),
        hosts: facts.site.hosts.clone(),
        domains: facts.domains.clone(),
    }
}

fn reload_systemd(facts: &Facts) -> Option<Command> {
    // systemd generates a unit for the script, but only updates it when it is reloaded.
    facts.server.has_systemd.then(|| system_command(facts, "systemctl", ["daemon-reload"]))
}
