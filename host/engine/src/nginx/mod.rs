//! nginx: its configuration, its sites, and what visitors see.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use gatling_nginx::config::Directive;

pub(crate) mod trial;
pub(crate) mod visitor;

/// The default path of nginx's pid file.
const DEFAULT_PID_FILE: &str = "/run/nginx.pid";

/// Whether this server's nginx was built with the module that serves prepared `.gz` files.
#[must_use]
pub(crate) fn serves_gz_files() -> bool {
    let output = Command::new("nginx").arg("-V").stdin(Stdio::null()).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stderr).contains("http_gzip_static_module"))
}

/// The process id of the nginx that has this configuration, if it runs.
#[must_use]
pub(crate) fn running(configuration: &[Directive]) -> Option<u32> {
    let pid = configuration.iter().find(|directive| directive.name() == "pid").and_then(|pid| pid.arguments().next());
    let file = pid.map_or_else(|| PathBuf::from(DEFAULT_PID_FILE), PathBuf::from);
    let pid = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim_end() == "nginx").then_some(pid)
}
