//! Checks systemd's units before they are installed.

use std::path::Path;

use anyhow::{Result, bail};
use gatling_pipeline::action::UnitCheck;
use gatling_process::{Command, find_program};
use gatling_runs::Events;

/// Fails if systemd has something to say about the project's own units. What it says about Gatling's is only a warning: a newer
/// systemd may know better.
pub(super) fn check(units: &[UnitCheck], events: &Events) -> Result<()> {
    const PROGRAM: &str = "systemd-analyze";
    if find_program(PROGRAM, Path::new("/")).is_none() {
        events.warn(format!("{PROGRAM} is not installed, so the units are not checked"));
        return Ok(());
    }
    let files: Vec<_> = units.iter().map(|unit| unit.path.display().to_string()).collect();
    let args = ["verify", "--man=no"].into_iter().map(str::to_owned).chain(files);
    let mut lines = Vec::new();
    // Its status is 0 for an unknown key. It also reports problems of other units, on which these depend.
    Command::new(PROGRAM, args, Path::new("/"))
        .stream(|output| lines.extend(output.text.lines().map(str::to_owned)))?;
    let about = |unit: &UnitCheck| -> Vec<String> {
        let name = unit.path.file_name().unwrap_or_default().display().to_string();
        // Messages about a template name an instance of it.
        let (start, end) = name.split_once('@').map_or((name.clone(), ""), |(start, end)| (format!("{start}@"), end));
        let is_about = |line: &&String| {
            line.split([':', ' ']).any(|word| {
                let word = word.rsplit('/').next().unwrap_or_default();
                word.starts_with(&start) && word.ends_with(end)
            })
        };
        lines.iter().filter(is_about).cloned().collect()
    };
    for unit in units {
        let problems = about(unit);
        if problems.is_empty() {
            continue;
        }
        let problems = problems.join("\n  ");
        if unit.is_the_projects {
            let name = unit.path.file_name().unwrap_or_default().display();
            bail!(
                "systemd does not accept the project's file `{name}`:\n  {problems}\nIt was not installed: correct the file"
            );
        }
        events.warn(format!("systemd-analyze verify: {problems}"));
    }
    Ok(())
}
