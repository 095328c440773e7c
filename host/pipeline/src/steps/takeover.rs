//! How a release takes over from the one that serves: beside it, or in its process.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::service::{proof, script, service, switch};
use super::{nginx, release};
use crate::action::{Action, InPlace, RecordedChange, ReleaseProof, SlotProof, Soak};
use crate::facts::Facts;
use gatling_config::paths::ProjectPaths;
use gatling_process::Command;
use gatling_runs::Change;
use gatling_templates as templates;

/// Has the running release load the code of the new one. If it cannot, the new one is started in its own place.
pub(super) fn in_place(facts: &Facts, otherwise: &Facts) -> Result<Action> {
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
pub(super) fn blue_green(facts: &Facts) -> Result<Action> {
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
    /// Whether systemd runs, and does not know that the app runs.
    pub must_tell_systemd: bool,
}

impl TakeOver<'_> {
    /// The actions for it.
    #[must_use]
    pub fn actions(self) -> Vec<Action> {
        let Self { paths, current, release, port, is_beside, soak, names, sudo, must_tell_systemd } = self;
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
            (beside.actions(), keep(paths, current))
        } else {
            let upgrade = |release: &str| script(paths, ["upgrade", release]);
            let proof = Action::ProveVisitors { paths: paths.clone() };
            (vec![Action::run(upgrade(release)), check_version(paths, release), proof], upgrade(current))
        };
        actions.push(Action::change(Change::Release, release, switch, vec![undo]));
        actions.extend(tell_systemd(paths, must_tell_systemd, sudo));
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
pub(super) fn check_version(paths: &ProjectPaths, release: &str) -> Action {
    Action::run(script(paths, ["check-version", release]))
}

/// Tells systemd that the app runs, if it `must` be told: with its service, it stops only what it knows.
pub(super) fn tell_systemd(paths: &ProjectPaths, must: bool, sudo: bool) -> Option<Action> {
    // The app already runs, so this starts nothing.
    must.then(|| Action::Try { command: service(paths, sudo, ["start"]).quiet() })
}

/// Has nginx pass requests to a release, and tells all others to stop. This completes a switch to it, or undoes
/// one to another release.
#[must_use]
pub fn keep(paths: &ProjectPaths, release: &str) -> Command {
    script(paths, ["keep", release])
}

pub(super) fn keep_only(paths: &ProjectPaths, release: &str, previous: &str) -> Action {
    let needed = vec![release.to_owned(), previous.to_owned()];
    let keep = Action::KeepReleases { paths: paths.clone(), serves: release.to_owned(), needed };
    Action::change(Change::OldReleases, "the latest that served", vec![keep], Vec::new())
}
