//! Erlang's port mapper: the first node starts it, and it keeps running when the last node has stopped.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use gatling_config::paths::ProjectPaths;
use gatling_process::Command;
use gatling_runs::Events;

/// Stops every epmd that a release of any project here has started, unless a node is registered with it.
pub(super) fn stop(paths: &ProjectPaths, events: &Events) {
    let Some(deployments) = paths.deploy_dir().parent().map(Path::to_owned) else { return };
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)) else { continue };
        let Ok(program) = fs::read_link(entry.path().join("exe")) else { continue };
        // The release that it came from may have been removed.
        let program = program.to_string_lossy().trim_end_matches(" (deleted)").to_owned();
        if !Path::new(&program).starts_with(&deployments) || !program.ends_with("/epmd") {
            continue;
        }
        let Some(program) = programs(paths).into_iter().find(|program| program.is_file()) else { return };
        let mut names = Command::new(&program.display().to_string(), ["-names"], Path::new("/"));
        names.env.set("ERL_EPMD_ADDRESS", "127.0.0.1");
        let is_needed = names.output().is_ok_and(|text| text.lines().any(|line| line.starts_with("name ")));
        if !is_needed && kill_process(pid, Signal::TERM).is_ok() {
            events.note("stopped epmd: no app needs it any more");
        }
    }
}

/// The epmd programs of the project's releases.
fn programs(paths: &ProjectPaths) -> Vec<PathBuf> {
    let below = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    below(paths.releases_dir())
        .flat_map(|release| below(release.join(paths.name.as_str())))
        .map(|folder| folder.join("bin/epmd"))
        .collect()
}
