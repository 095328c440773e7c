//! The steps that install, start, upgrade and stop the service.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{install_file, logs, migrate, nginx, release, system_command};
use crate::action::{Action, InPlace, RecordedChange, ReleaseProof, SlotProof, Soak};
use crate::facts::Facts;
use gatling_config::roots::ProjectPaths;
use gatling_config::settings::Strategy;
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

/// Installs the init script, if another version of Gatling wrote it, or it is missing.
///
/// # Errors
/// If something else has its name.
pub fn renew_init_script(facts: &Facts) -> Result<Vec<Action>> {
    let script = facts.server.init_script.as_ref();
    let is_own = script.is_none_or(|text| text.contains(&templates::marker(&facts.paths.name)));
    if is_own && script != Some(&facts.script_template) { install_init_script(facts) } else { Ok(Vec::new()) }
}

pub(super) fn install_init_script(facts: &Facts) -> Result<Vec<Action>> {
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
        actions.extend([restart(facts)?, keep_releases(facts)]);
        return Ok(actions);
    }
    let marker = facts.paths.deployed_marker();
    let release = facts.release();
    // It becomes the current release, which the server starts when it boots, once it has answered.
    let start = vec![
        Action::run(service(&facts.paths, facts.server.sudo, ["upgrade", &release])),
        Action::ProveServing(Box::new(proof(facts, true))),
        check_version(&facts.paths, &release),
        Action::WriteFile { path: marker, contents: format!("{}\n", facts.version), mode: 0o644 },
    ];
    let mut actions = commit_release(facts);
    actions.extend([Action::change(Change::Release, release, start, Vec::new()), keep_releases(facts)]);
    Ok(actions)
}

pub(crate) fn upgrade(facts: &Facts) -> Result<Vec<Action>> {
    let mut actions = renew_init_script(facts)?;
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
fn switch(facts: &Facts) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    if facts.strategy == Strategy::BlueGreen.name() {
        actions.push(Action::CheckMemory { paths: facts.paths.clone() });
        // The release that serves keeps serving while nginx learns the port of the new one.
        if !nginx::knows_ports(facts)? {
            actions.extend(nginx::configure(facts)?);
        }
        actions.push(blue_green(facts)?);
        actions.extend(tell_systemd(&facts.paths, facts.server.has_systemd, facts.server.sudo));
    } else {
        actions.push(restart(facts)?);
    }
    Ok(actions)
}

/// Has the running release load the code of the new one. If it cannot, the new one is started in its own place.
fn in_place(facts: &Facts, otherwise: &Facts) -> Result<Action> {
    let Some(previous) = &facts.previous_version else { bail!("no release serves yet") };
    let paths = &facts.paths;
    let visits = match facts.site.is_own {
        true => Action::ProveSite(Box::new(nginx::in_use(facts)?)),
        false => through_nginx(paths, &facts.release(), facts.available_port, true),
    };
    let proofs = [Action::ProveServing(Box::new(proof(facts, false))), visits];
    let mut instead = release::settings(otherwise)?.to_vec();
    instead.push(Action::SyncRelease { path: facts.upgrade_dir.clone() });
    instead.extend(switch(otherwise)?);
    let change = change_in_place(facts, &facts.release(), previous, proofs.into());
    let in_place = InPlace { change, then: Vec::new(), otherwise: instead, strategy: otherwise.strategy };
    Ok(Action::InPlace(Box::new(in_place)))
}

/// Has the running release go back to an older one, in place. If it cannot, `otherwise` is done, which is the strategy of this
/// name.
pub(crate) fn take_over_in_place(
    facts: &Facts,
    release: &str,
    current: &str,
    otherwise: Vec<Action>,
    strategy: &'static str,
) -> Vec<Action> {
    let change = change_in_place(facts, release, current, vec![Action::ProveVisitors { paths: facts.paths.clone() }]);
    let then = vec![keep_only(&facts.paths, release, current)];
    let in_place = InPlace { change, then, otherwise, strategy };
    vec![Action::InPlace(Box::new(in_place))]
}

/// Prints how the running release would be upgraded in place to the one in this folder.
#[must_use]
pub fn explain_in_place(paths: &ProjectPaths, release: &Path) -> Command {
    script(paths, ["explain-in-place", &release.display().to_string()])
}

/// Writes the program for upgrades in place.
#[must_use]
pub fn write_in_place_program(paths: &ProjectPaths) -> Action {
    Action::WriteFile { path: paths.in_place_program(), contents: templates::IN_PLACE.to_owned(), mode: 0o644 }
}

/// Has the process of `current` load the code of `release`.
fn change_in_place(facts: &Facts, release: &str, current: &str, proofs: Vec<Action>) -> RecordedChange {
    let paths = &facts.paths;
    // Whatever fails after this file is written, the old code is loaded again.
    let mut actions = vec![write_in_place_program(paths)];
    actions.extend(["in-place", "check-health"].map(|action| Action::run(script(paths, [action, release]))));
    actions.extend(proofs);
    actions.extend(soak(paths, release, facts.soak));
    actions.push(Action::run(keep(paths, release)));
    let undo = vec![keep(paths, current)];
    RecordedChange { change: Change::Release, to: release.to_owned(), actions, undo }
}

/// Visits a release through nginx.
fn through_nginx(paths: &ProjectPaths, release: &str, port: u16, is_live: bool) -> Action {
    Action::ProveSlot(Box::new(SlotProof { paths: paths.clone(), release: release.to_owned(), port, is_live }))
}

/// Watches a release that serves, if it is to be watched.
fn soak(paths: &ProjectPaths, release: &str, time: Duration) -> Option<Action> {
    // It ends before the watch does.
    let seconds = time.as_secs().saturating_sub(1).to_string();
    let mut watch = script(paths, ["watch-errors", release, &seconds]);
    watch.outlives_gatling = false;
    let soak = Soak { paths: paths.clone(), release: release.to_owned(), time, watch };
    (!time.is_zero()).then(|| Action::Soak(Box::new(soak)))
}

/// Starts the new release beside the one that serves, which is stopped once the new one has taken over.
fn blue_green(facts: &Facts) -> Result<Action> {
    let Some(previous) = &facts.previous_version else { bail!("no release serves yet") };
    let switch = Beside {
        paths: &facts.paths,
        release: facts.release(),
        port: facts.available_port,
        soak: facts.soak,
        proof: Some(proof(facts, false)),
    };
    Ok(Action::change(Change::Release, facts.release(), switch.actions(), vec![keep(&facts.paths, previous)]))
}

/// A release that is complete in its folder, and is to serve instead of the current one.
#[derive(Clone, Copy, Debug)]
pub struct TakeOver<'a> {
    /// The project.
    pub paths: &'a ProjectPaths,
    /// The release that serves now.
    pub current: &'a str,
    /// The release.
    pub release: &'a str,
    /// Its port.
    pub port: u16,
    /// Whether it starts beside the current one.
    pub is_beside: bool,
    /// How long it is watched once it serves.
    pub soak: Duration,
    /// The names that releases have had.
    pub names: &'a [String],
    /// Whether root's rights are needed to change the system.
    pub sudo: bool,
    /// Whether systemd runs.
    pub has_systemd: bool,
}

impl TakeOver<'_> {
    /// The actions for it.
    #[must_use]
    pub fn actions(self) -> Vec<Action> {
        let Self { paths, current, release, port, is_beside, soak, names, sudo, has_systemd } = self;
        let mut actions = Vec::new();
        if is_beside {
            actions.push(Action::CheckMemory { paths: paths.clone() });
        }
        actions.push(Action::SyncRelease { path: paths.releases_dir().join(release) });
        if !names.iter().any(|name| name == release) {
            let names: String =
                names.iter().map(String::as_str).chain([release]).map(|name| format!("{name}\n")).collect();
            actions.push(Action::WriteFile { path: paths.names_file(), contents: names, mode: 0o644 });
        }
        let (switch, undo) = if is_beside {
            let beside = Beside { paths, release: release.to_owned(), port, soak, proof: None };
            let mut actions = beside.actions();
            actions.extend(tell_systemd(paths, has_systemd, sudo));
            (actions, keep(paths, current))
        } else {
            let upgrade = |release: &str| service(paths, sudo, ["upgrade", release]);
            let proof = Action::ProveVisitors { paths: paths.clone() };
            (vec![Action::run(upgrade(release)), check_version(paths, release), proof], upgrade(current))
        };
        actions.push(Action::change(Change::Release, release, switch, vec![undo]));
        actions.push(keep_only(paths, release, current));
        actions
    }
}

/// A release that is to serve instead of another one without an interruption.
struct Beside<'a> {
    paths: &'a ProjectPaths,
    release: String,
    port: u16,
    soak: Duration,
    /// What its process must do.
    proof: Option<ReleaseProof>,
}

impl Beside<'_> {
    /// Starts it, proves it, has nginx pass requests to it, watches it, and stops the other one.
    fn actions(self) -> Vec<Action> {
        let Self { paths, release, port, soak, proof } = self;
        let mut actions = vec![Action::run(script(paths, ["start-beside", &release]))];
        actions.extend(proof.map(|proof| Action::ProveServing(Box::new(proof))));
        actions.extend([
            check_version(paths, &release),
            through_nginx(paths, &release, port, false),
            Action::run(script(paths, ["make-live", &release])),
            through_nginx(paths, &release, port, true),
        ]);
        actions.extend(self::soak(paths, &release, soak));
        actions.push(Action::run(keep(paths, &release)));
        actions
    }
}

/// Asks the node of a release for its version.
fn check_version(paths: &ProjectPaths, release: &str) -> Action {
    Action::run(script(paths, ["check-version", release]))
}

/// Tells systemd that the app runs, which it did not start itself: it stops at shutdown only what it knows.
fn tell_systemd(paths: &ProjectPaths, has_systemd: bool, sudo: bool) -> Option<Action> {
    if !paths.roots.uses_system_init() || !has_systemd {
        return None;
    }
    // The init script then says that the app is already running.
    Some(Action::Try { command: service(paths, sudo, ["start"]).quiet() })
}

/// Has nginx pass requests to a release, and tells all others to stop. This completes a switch to it, or undoes
/// one to another release.
#[must_use]
pub fn keep(paths: &ProjectPaths, release: &str) -> Command {
    script(paths, ["keep", release])
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
    let upgrade = |release: &str| service(&facts.paths, facts.server.sudo, ["upgrade", release]);
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

fn keep_only(paths: &ProjectPaths, release: &str, previous: &str) -> Action {
    let needed = vec![release.to_owned(), previous.to_owned()];
    let keep = Action::KeepReleases { paths: paths.clone(), serves: release.to_owned(), needed };
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

fn proof(facts: &Facts, is_current: bool) -> ReleaseProof {
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

fn reload_systemd(facts: &Facts) -> Option<Command> {
    // systemd generates a unit for the script, but only updates it when it is reloaded.
    facts.server.has_systemd.then(|| system_command(facts, "systemctl", ["daemon-reload"]))
}
