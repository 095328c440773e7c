//! Installs and removes the service: the init script, and systemd's units.

use anyhow::{Result, bail};

use super::{install_file, logs, system_command};
use crate::action::{Action, UnitCheck};
use crate::facts::Facts;
use crate::facts::server::{Link, UnitFile, Units};
use gatling_process::Command;
use gatling_runs::Change;
use gatling_templates as templates;

/// Installs the parts of the service that are missing, or that another version of Gatling wrote.
///
/// # Errors
/// If something else has the name of one.
pub fn renew_service(facts: &Facts) -> Result<Vec<Action>> {
    let script = facts.server.init_script.as_ref();
    let is_own = script.is_none_or(|text| text.contains(&templates::marker(&facts.paths.name)));
    let mut actions = Vec::new();
    if is_own && script != Some(&facts.script_template) {
        actions.extend(install_init_script(facts)?);
    } else if is_own && facts.server.is_not_enabled {
        // systemd ran here when the script was installed.
        actions.push(Action::run(system_command(facts, "update-rc.d", [&facts.project, "defaults"])));
    }
    if is_own {
        actions.extend(install_units(facts)?);
    }
    Ok(actions)
}

pub(super) fn install_service(facts: &Facts) -> Result<Vec<Action>> {
    let mut actions = install_init_script(facts)?;
    actions.extend(install_units(facts)?);
    Ok(actions)
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
    // systemd reads its own units, at boot too.
    if facts.paths.roots.uses_system_init() && !facts.server.has_systemd {
        install.push(Action::run(system_command(facts, "update-rc.d", [&facts.project, "defaults"])));
    }
    // A newer version of an existing init script can stay.
    let undo = if facts.server.init_script.is_none() { uninstall_init_script(facts) } else { Vec::new() };
    Ok(vec![
        Action::WriteFile { path: staged, contents: facts.script_template.clone(), mode: 0o755 },
        Action::change(Change::Service, facts.etc_path.display().to_string(), install, undo),
    ])
}

/// Installs systemd's units, if they are missing or differ, and has systemd start the app at boot.
fn install_units(facts: &Facts) -> Result<Vec<Action>> {
    let Some(units) = &facts.server.units else { return Ok(Vec::new()) };
    if let Some(path) = &units.foreign {
        bail!(
            "systemd already has a unit {}, which gatling did not write: if nothing needs it, move it away; otherwise load the \
             project under another name",
            path.display()
        );
    }
    let outdated: Vec<_> = units.files.iter().filter(|unit| unit.text.as_ref() != Some(&unit.wanted)).collect();
    if outdated.is_empty() && units.boot_link == Link::Correct && !units.needs_reload {
        return Ok(Vec::new());
    }
    let staged = |unit: &UnitFile| facts.deploy_dir.join("units").join(unit.path.file_name().unwrap_or_default());
    let mut actions = vec![Action::MakeDir { path: facts.deploy_dir.join("units") }];
    for unit in &units.files {
        actions.push(Action::WriteFile { path: staged(unit), contents: unit.wanted.clone(), mode: 0o644 });
    }
    let checks = units
        .files
        .iter()
        .map(|unit| UnitCheck { path: staged(unit), is_the_projects: unit.is_the_projects })
        .collect();
    actions.push(Action::CheckUnits { units: checks });
    let mut install = Vec::new();
    for unit in outdated {
        install.extend(install_file(facts, &staged(unit), &unit.path, "644"));
    }
    install.push(Action::run(reload_systemd(facts)));
    if units.boot_link != Link::Correct {
        // As `systemctl enable` does.
        let [unit, link] = [&units.files[0].path, &units.boot_path].map(|path| path.display().to_string());
        let folder = units.boot_path.parent().unwrap_or(&units.boot_path).display().to_string();
        install.push(Action::run(system_command(facts, "install", ["-d", "-m", "755", &folder])));
        install.push(Action::run(system_command(facts, "ln", ["-sT", &unit, &link])));
    }
    let is_new = units.files.iter().all(|unit| unit.text.is_none());
    let undo = if is_new { uninstall_units(facts, units) } else { Vec::new() };
    let what = units.files[0].path.display().to_string();
    actions.push(Action::change(Change::Service, what, install, undo));
    Ok(actions)
}

pub(crate) fn remove_init_script(facts: &Facts) -> Result<Vec<Action>> {
    let is_ours =
        facts.server.init_script.as_ref().is_some_and(|text| text.contains(&templates::marker(&facts.paths.name)));
    if !is_ours {
        return Ok(vec![Action::skip(format!("{} does not exist", facts.etc_path.display()))]);
    }
    // The init script comes last: as long as it is there, a repeated `unload` removes everything.
    let mut commands = facts.server.units.iter().flat_map(|units| uninstall_units(facts, units)).collect::<Vec<_>>();
    commands.extend(uninstall_init_script(facts));
    let mut actions: Vec<_> = commands.into_iter().map(Action::Run).collect();
    actions.extend(logs::remove(facts));
    actions.extend(super::remove_drafts(facts));
    Ok(vec![Action::change(Change::Service, "no init script", actions, Vec::new())])
}

fn uninstall_init_script(facts: &Facts) -> Vec<Command> {
    let mut commands = vec![system_command(facts, "rm", ["-f", &facts.etc_path.display().to_string()])];
    if facts.paths.roots.uses_system_init() {
        commands.push(system_command(facts, "update-rc.d", [&facts.project, "remove"]));
    }
    commands
}

fn uninstall_units(facts: &Facts, units: &Units) -> Vec<Command> {
    let [boot, slots] = &units.files;
    let [link, boot, slots] = [&units.boot_path, &boot.path, &slots.path].map(|path| path.display().to_string());
    vec![system_command(facts, "rm", ["-f", &link, &boot, &slots]), reload_systemd(facts)]
}

fn reload_systemd(facts: &Facts) -> Command {
    system_command(facts, "systemctl", ["daemon-reload"])
}
