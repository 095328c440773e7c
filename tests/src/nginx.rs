//! The sandbox's own nginx: its configuration, and how it is started.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::{Pid, geteuid};

use crate::{Output, http, processes};

/// How many ports to try: another program can take a port before nginx starts.
const TRIES: usize = 5;

/// An nginx with all its files in one folder.
pub(crate) struct Nginx {
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
}

impl Nginx {
    /// Writes a configuration into `folder` and starts the nginx on `path` with it.
    pub(crate) fn start(folder: PathBuf, path: &OsStr) -> Result<Self> {
        for part in ["sites-available", "sites-enabled", "temp"] {
            fs::create_dir_all(folder.join(part))?;
        }
        for _ in 1..TRIES {
            if let Ok(nginx) = Self::try_start(&folder, path) {
                return Ok(nginx);
            }
        }
        Self::try_start(&folder, path)
    }

    fn try_start(folder: &Path, path: &OsStr) -> Result<Self> {
        let port = http::free_port()?;
        let config = folder.join("nginx.conf");
        fs::write(&config, configuration(folder, port))?;
        Output::of(
            Command::new("nginx")
                .arg("-c")
                .arg(&config)
                // Without it, nginx first opens a log that only root can write.
                .arg("-e")
                .arg(folder.join("error.log"))
                .env("PATH", path),
        )?
        .expect_success()
        .context("starting nginx")?;
        Ok(Self { folder: folder.to_path_buf(), port })
    }

    /// Whether there is only one worker: after a reload, the old one also answers until it ends.
    pub(crate) fn is_settled(&self) -> bool {
        let pid = fs::read_to_string(self.pid_file()).ok().and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
        pid.is_some_and(|pid| processes::children(pid) == 1)
    }

    /// The file that holds the process id of this nginx.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.folder.join("nginx.pid")
    }
}

/// An nginx.conf that keeps every file in `folder` and serves the sites in `sites-enabled`.
fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    // Workers of root would otherwise run as another user, who cannot enter the sandbox. For other users nginx would
    // warn about the line, because they cannot change the user.
    let user = if geteuid().is_root() { "user root;" } else { "" };
    format!(
        r#"{user}
worker_processes 1;
daemon on;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/temp/body;
    proxy_temp_path {folder}/temp/proxy;
    fastcgi_temp_path {folder}/temp/fastcgi;
    uwsgi_temp_path {folder}/temp/uwsgi;
    scgi_temp_path {folder}/temp/scgi;
    default_type text/plain;
    server {{
        listen 127.0.0.1:{port} default_server;
        return 404 "no project is served under this name\n";
    }}
    include {folder}/sites-enabled/*;
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_nginx_writes_is_in_its_folder() {
        let text = configuration(Path::new("/sand/nginx"), 8080);
        let paths = text.split([' ', ';']).filter(|word| word.starts_with('/'));
        assert!(paths.clone().count() >= 9);
        for path in paths {
            assert!(path.starts_with("/sand/nginx/"), "{path}");
        }
    }
}
