//! systemd's units of a project.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use gatling_config::paths::ProjectPaths;
use gatling_config::settings::project_file;
use gatling_config::slot::Slot;
use gatling_pipeline::facts::server::{UnitFile, Units};
use gatling_process::Command;
use gatling_templates as templates;

use super::link;

/// The largest allowed unit of a project, in bytes.
const MAX_LEN: u64 = 64 * 1024;

/// The lines of Gatling's units that the project's own must have too, by their beginnings.
const NEEDED: [&str; 11] = [
    "PartOf=",
    "StartLimitIntervalSec=",
    "ExecStart=",
    "ExecStop=",
    "ExecStopPost=",
    "User=",
    "Restart=",
    "RestartPreventExitStatus=",
    "SuccessExitStatus=",
    "KillMode=",
    "RemainAfterExit=",
];

/// Where packages and administrators install units.
const FOLDERS: [&str; 4] =
    ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// The units, if systemd runs, and services are installed for the system. If the project's own cannot be used, this is an
/// error, or `tolerant` is true and Gatling's are used.
pub(super) fn gather(paths: &ProjectPaths, tolerant: bool) -> Result<Option<Units>> {
    let Some(files) = paths.unit_files().filter(|_| super::has_systemd()) else { return Ok(None) };
    let [boot, slots] = files;
    let names = paths.unit_names();
    let marker = templates::marker(&paths.name);
    let is_foreign = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| !text.contains(&marker));
    let foreign = names.iter().flat_map(|name| FOLDERS.map(|folder| Path::new(folder).join(name))).find(is_foreign);
    let unit = |index: usize, path: PathBuf| -> Result<UnitFile> {
        let own = match own(paths, &names[index], index) {
            Err(_) if tolerant => None,
            own => own?,
        };
        Ok(UnitFile {
            text: fs::read_to_string(&path).ok(),
            is_the_projects: own.is_some(),
            wanted: own.map_or_else(|| templates::unit(paths, templates::UNITS[index]), Ok)?,
            path,
        })
    };
    let boot_path = paths.unit_boot_link();
    Ok(Some(Units {
        boot_link: link(&boot_path, &boot),
        files: [unit(0, boot)?, unit(1, slots)?],
        boot_path,
        foreign,
        needs_reload: needs_reload(paths),
    }))
}

/// The project's own text of a unit, if it has one.
fn own(paths: &ProjectPaths, name: &str, index: usize) -> Result<Option<String>> {
    let Some(template) = project_file(&paths.build_dir(), name, MAX_LEN)? else { return Ok(None) };
    let text = templates::unit(paths, &template).with_context(|| {
        format!("the project's file `{name}` cannot be used: it may contain {{{{ project }}}}, {{{{ user }}}}, {{{{ group }}}}, {{{{ script }}}} and {{{{ deploy_dir }}}}")
    })?;
    // Without these lines, deployments cannot start the app, or it would have other rights.
    let gatlings = templates::unit(paths, templates::UNITS[index])?;
    let is_needed = |line: &&str| NEEDED.iter().any(|start| line.starts_with(start));
    let has = |line: &str| text.lines().any(|own| own.trim() == line);
    if let Some(line) = gatlings.lines().filter(is_needed).find(|line| !has(line)) {
        bail!("the project's file `{name}` lacks the line `{line}`, without which gatling cannot run the app: add it");
    }
    let [boot, slots] = paths.unit_names();
    let is_after =
        |line: &str| line.trim().strip_prefix("After=").is_some_and(|after| after.split(' ').any(|unit| unit == boot));
    if name == slots && !text.lines().any(is_after) {
        bail!(
            "the project's file `{name}` lacks the line `After={boot}`, which says when the app starts at boot: add it"
        );
    }
    Ok(Some(text))
}

/// Whether systemd has yet to read a file of these units that has changed.
fn needs_reload(paths: &ProjectPaths) -> bool {
    let [boot, _] = paths.unit_names();
    let [blue, green] = [Slot::Blue, Slot::Green].map(|slot| paths.slot_unit(slot));
    let args = ["show", "--property", "NeedDaemonReload", "--value", &boot, &blue, &green];
    // Without D-Bus, the user cannot ask.
    let Ok(output) = Command::new("systemctl", args, Path::new("/")).capture() else { return true };
    output.lines().any(|line| line == "yes")
}
