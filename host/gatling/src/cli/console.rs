//! `gatling console`.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::{Result, bail};
use gatling_config::project::ProjectName;
use gatling_config::roots::ProjectPaths;
use gatling_engine::release::{Release, service_command};
use gatling_process::{Command, Environment};

use super::{loaded, run};

/// Open IEx in the running app
///
/// What you call there runs in the app that serves. Leave it with Ctrl-C twice, or Ctrl-\; the app
/// goes on. It needs a terminal. For a program beside the app use `gatling run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let paths = loaded(&args.project)?;
    let name = &paths.name;
    let release = Release::current(&paths)?;
    if !release.is_distributed() {
        bail!(
            "the app of {name} cannot be reached: it was started with RELEASE_DISTRIBUTION=none. Remove that line with \
             `gatling config unset {name} RELEASE_DISTRIBUTION`, then run `gatling restart {name}`"
        );
    }
    check_running(&paths)?;
    let home = std::env::home_dir().unwrap_or_default();
    let terminal = terminal(name, std::env::var("TERM").ok().as_deref(), &home)?;
    let program = release.dir.join("bin").join(&release.program).display().to_string();
    run::become_program(&release, &program, &["remote".to_owned()], &[("TERM", &terminal)])
}

/// The `TERM` for IEx. Where Erlang up to 25 finds no terminal that it knows, IEx says so in one line
/// and goes on in another node than the app's.
fn terminal(project: &ProjectName, name: Option<&str>, home: &Path) -> Result<String> {
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let name = name.filter(|name| is_terminal && !["", "dumb"].contains(name));
    let Some(name) = name else {
        bail!(
            "the console needs a terminal that can move its cursor: over ssh, use `ssh -t`. To evaluate one expression in \
             the app: gatling run {project} -- {project} rpc 'IO.inspect(node())'"
        );
    };
    let folders =
        [home.join(".terminfo"), "/etc/terminfo".into(), "/lib/terminfo".into(), "/usr/share/terminfo".into()];
    let first = name.chars().take(1).collect::<String>();
    let is_known = folders.iter().any(|folder| folder.join(&first).join(name).is_file());
    // Newer terminals, which a server doesn't know, do what xterm does.
    Ok(if is_known { name } else { "xterm" }.to_owned())
}

/// Asks the init script.
fn check_running(paths: &ProjectPaths) -> Result<()> {
    let name = &paths.name;
    let script = paths.init_script();
    if !script.exists() {
        bail!("there is no {}: install it again with `gatling upgrade {name}`", script.display());
    }
    let mut status = Command::new(&script.display().to_string(), ["status"], Path::new("/"));
    status.environment = Environment::Only(&["LANG", "PATH", "TERM"]);
    let mut said = String::new();
    let ended = status.stream(|lines| said = lines.text.clone())?;
    if !ended.success() {
        bail!("{name} is not running ({said}): start it with `{}`", service_command(paths, "start"));
    }
    Ok(())
}
