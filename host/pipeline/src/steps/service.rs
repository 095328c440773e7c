//! The steps that start, upgrade and stop the service.

use std::path::Path;

use anyhow::Result;

use super::install::{self, renew_service};
use super::takeover::{blue_green, check_version, in_place, keep_only, tell_systemd};
use super::{logs, migrate, nginx};
use crate::action::{Action, ReleaseProof};
use crate::facts::Facts;
use gatling_config::paths::ProjectPaths;
use gatling_config::settings::Strategy;
use gatling_process::{Command, Environment};
use gatling_runs::Change;

/// What `service` does for the whole system, with root's rights if they are needed. Without systemd, it calls the init script.
pub(super) fn service<const N: usize>(paths: &ProjectPaths, sudo: bool, args: [&str; N]) -> Command {
    let mut command = script(paths, args);
    if paths.roots.uses_system_init() {
        command.args.insert(0, paths.name.to_string());
        "service".clone_into(&mut command.program);
        command = command.as_root(sudo);
    }
    command
}

/// A call of the init script with only the rights of the app's user, as `service` would call it: with a clean environment, in
/// the root folder.
#[must_use]
pub fn script<const N: usize>(paths: &ProjectPaths, args: [&str; N]) -> Command {
    let mut command = Command::new(&paths.init_script().display().to_string(), args, Path::new("/"));
    command.environment = Environment::only(["LANG", "PATH", "TERM"]);
    // It must not be killed with Gatling between stopping one release and starting another.
    command.outlives_gatling = true;
    command
}

/// The step of the first deployment: installs the service, and the rotation of its log if systemd's journal does not keep it.
pub(crate) fn install(facts: &Facts) -> Result<Vec<Action>> {
    let mut actions = install::install_service(facts)?;
    actions.extend(logs::install(facts));
    Ok(actions)
}

pub(crate) fn start(facts: &Facts) -> Result<Vec<Action>> {
    if facts.previous_version.is_some() {
        // The first deployment failed after it had started the app.
        let mut actions = commit_release(facts);
        actions.extend([restart(facts)?, keep_releases(facts)]);
        return Ok(actions);
    }
    let marker = facts.paths.deployed_marker();
    let release = facts.release();
    // It becomes the current release, which the server starts when it boots, once it has answered.
    let start = vec![
        Action::run(script(&facts.paths, ["upgrade", &release])),
        Action::ProveServing(Box::new(proof(facts, true))),
        check_version(&facts.paths, &release),
        Action::WriteFile { path: marker, contents: format!("{}\n", facts.version), mode: 0o644 },
    ];
    let mut actions = commit_release(facts);
    actions.push(Action::change(Change::Release, release, start, Vec::new()));
    actions.extend(tell_systemd(&facts.paths, facts.server.must_tell_systemd, facts.server.sudo));
    actions.push(keep_releases(facts));
    Ok(actions)
}

pub(crate) fn upgrade(facts: &Facts) -> Result<Vec<Action>> {
    let mut actions = renew_service(facts)?;
    actions.extend(logs::install(facts));
    actions.extend(migrate::from_release(facts));
    actions.extend(commit_release(facts));
    match &facts.otherwise {
        Some(otherwise) => actions.push(in_place(facts, otherwise)?),
        None => actions.extend(switch(facts)?),
    }
    actions.push(keep_releases(facts));
    Ok(actions)
}

/// Starts the new release, which then takes over.
pub(super) fn switch(facts: &Facts) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    if facts.strategy == Strategy::BlueGreen.name() {
        actions.push(Action::CheckMemory { paths: facts.paths.clone() });
        // The release that serves keeps serving while nginx learns the port of the new one.
        if !nginx::knows_ports(facts)? {
            actions.extend(nginx::configure(facts)?);
        }
        actions.push(blue_green(facts)?);
    } else {
        actions.push(restart(facts)?);
    }
    actions.extend(tell_systemd(&facts.paths, facts.server.must_tell_systemd, facts.server.sudo));
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

/// Stops the release that serves and starts the new one, or the old one again if the new one does not serve.
fn restart(facts: &Facts) -> Result<Action> {
    let upgrade = |release: &str| script(&facts.paths, ["upgrade", release]);
    let previous = facts.previous_version.as_ref().filter(|previous| **previous != facts.release());
    let switch = vec![
        Action::run(upgrade(&facts.release())),
        Action::ProveServing(Box::new(proof(facts, true))),
        check_version(&facts.paths, &facts.release()),
        Action::ProveSite(Box::new(nginx::in_use(facts)?)),
    ];
    let undo = previous.map(|previous| upgrade(previous)).into_iter().collect();
    Ok(Action::change(Change::Release, facts.release(), switch, undo))
}

/// Keeps the latest releases that served, for a rollback, and removes the others, which would fill the disk.
fn keep_releases(facts: &Facts) -> Action {
    let release = facts.release();
    keep_only(&facts.paths, &release, facts.previous_version.as_deref().unwrap_or(&release))
}

pub(crate) fn stop(facts: &Facts) -> Result<Vec<Action>> {
    // Without its folder the script cannot tell what runs. If an interrupted `unload` or a user removed the folder, the
    // other steps must still run.
    let there =
        [(&facts.etc_path, facts.server.init_script.is_some()), (&facts.deploy_dir, facts.server.has_deploy_dir)];
    if let Some((missing, _)) = there.into_iter().find(|(_, is_there)| !is_there) {
        return Ok(vec![Action::skip(format!("{} does not exist", missing.display()))]);
    }
    let mut stop = Vec::new();
    if facts.server.has_systemd && facts.paths.roots.uses_system_init() {
        // An interrupted `unload` may have removed the units already. systemd does not stop what it does not know.
        stop.push(Action::Try { command: service(&facts.paths, facts.server.sudo, ["stop"]) });
    }
    stop.push(Action::run(script(&facts.paths, ["stop"])));
    stop.push(Action::EndEpmd { paths: facts.paths.clone() });
    Ok(vec![Action::change(Change::Project, "not running", stop, Vec::new())])
}

pub(super) fn proof(facts: &Facts, is_current: bool) -> ReleaseProof {
    ReleaseProof {
        paths: facts.paths.clone(),
        release: facts.release(),
        port: facts.available_port,
        is_current,
        endpoints: facts.mix.endpoints.iter().map(|endpoint| endpoint.module.clone()).collect(),
        hosts: facts.site.hosts.clone(),
        domains: facts.domains.clone(),
    }
}
