//! `gatling console`.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::{Result, bail};
use gatling_config::paths::ProjectPaths;
use gatling_config::project::ProjectName;
use gatling_engine::release::{Release, service_command};
use gatling_process::{Command, Environment};

use super::{loaded, run};

/// Open IEx in the running app
///
/// The expressions that you enter run in the app that serves visitors. Leave it with Ctrl-C twice or
/// Ctrl-\; the app keeps running. It needs a terminal. To run a separate program, use `gatling run`.
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
            "cannot connect to the app of {name}: it was started with RELEASE_DISTRIBUTION=none. Remove that line with \
             `gatling config unset {name} RELEASE_DISTRIBUTION`, then run `gatling restart {name}`"
        );
    }
    check_running(&paths)?;
    let home = std::env::home_dir().unwrap_or_default();
    let terminal = terminal(name, std::env::var("TERM").ok().as_deref(), &home)?;
    let program = release.dir.join("bin").join(&release.program).display().to_string();
    run::become_program(&release, &program, &["remote".to_owned()], &[("TERM", &terminal)])
}

/// The `TERM` for IEx. If Erlang 25 or older does not know the terminal, IEx prints one line about it and continues
/// in a node that is not the app's.
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
    // Newer terminals, which the server does not know, are compatible with xterm.
    Ok(if is_known { name } else { "xterm" }.to_owned())
}

/// Asks the init script whether the app is running.
fn check_running(paths: &ProjectPaths) -> Result<()> {
    let name = &paths.name;
    let script = paths.init_script();
    if !script.exists() {
        bail!("{} does not exist: install it again with `gatling upgrade {name}`", script.display());
    }
    let mut status = Command::new(&script.display().to_string(), ["status"], Path::new("/"));
    status.environment = Environment::only(["LANG", "PATH", "TERM"]);
    let mut output = String::new();
    let exit_status = status.stream(|lines| output = lines.text.clone())?;
    if !exit_status.success() {
        bail!("{name} is not running ({output}): start it with `{}`", service_command(paths, "start"));
    }
    Ok(())
}
