//! `gatling config`.

use std::borrow::Cow;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use gatling_config::dotenv::Dotenv;
use gatling_config::folders::make_private;
use gatling_config::paths::ProjectPaths;
use gatling_config::project::ProjectName;
use gatling_process::shell::check_variable_name;
use gatling_runs::lock::Lock;

use super::{UsageError, loaded, print, print_json_line, say, secret};

/// See and change the environment that a project's app gets
///
/// The variables are in deployments/PROJECT/.env, which only its owner can read. Each release keeps a
/// copy of its own: a change reaches the app with the next push, or with `gatling restart PROJECT`.
/// PORT changes only with a push or `gatling upgrade`, because nginx's site must change with it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the variables, as a shell would read them
    List {
        /// The project
        project: ProjectName,
        /// As one JSON object (docs/journal.md describes it)
        #[arg(long)]
        json: bool,
    },
    /// Print the value of a variable
    Get {
        /// The project
        project: ProjectName,
        /// The variable
        key: String,
    },
    /// Set variables
    ///
    /// While this runs, other users of the server can see its arguments, with `ps`. To set a secret,
    /// write KEY=-: its value is then read from standard input, or you are asked for it. For example:
    /// `gatling config set shop DATABASE_URL=-`.
    Set {
        /// The project
        project: ProjectName,
        /// What to set; quote values with spaces for your shell. KEY=- reads one value from
        /// standard input
        #[arg(value_name = "KEY=VALUE", required = true)]
        pairs: Vec<String>,
    },
    /// Remove variables
    Unset {
        /// The project
        project: ProjectName,
        /// The variables
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
}

pub(super) fn main(args: &Args) -> Result<u8> {
    match &args.command {
        Command::List { project, json } => {
            let env = Dotenv::read(&loaded(project)?.dotenv())?;
            if *json {
                let variables: serde_json::Map<_, _> =
                    env.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                print_json_line(&serde_json::json!({ "project": project.as_str(), "variables": variables }))?;
            } else {
                print(&env.to_string())?;
            }
        }
        Command::Get { project, key } => {
            let env = Dotenv::read(&loaded(project)?.dotenv())?;
            let Some(value) = env.get(key) else {
                let names: Vec<_> = env.iter().map(|(name, _)| name).collect();
                let set =
                    if names.is_empty() { "nothing is".to_owned() } else { format!("these are: {}", names.join(", ")) };
                bail!("{key} is not set for {project}; {set}");
            };
            print(&format!("{value}\n"))?;
        }
        Command::Set { project, pairs } => {
            let paths = loaded(project)?;
            let mut pairs = pairs.iter().map(|pair| split(pair)).collect::<Result<Vec<_>>>()?;
            read_value(project, &mut pairs)?;
            change(&paths, |env| pairs.iter().try_for_each(|(name, value)| env.set(name, value)))?;
            let names: Vec<_> = pairs.iter().map(|(name, _)| *name).collect();
            say(&format!("set for {project}: {}\n{}", names.join(", "), hint(&paths)))?;
        }
        Command::Unset { project, keys } => {
            let paths = loaded(project)?;
            change(&paths, |env| {
                let missing: Vec<_> = keys.iter().filter(|key| env.get(key).is_none()).map(String::as_str).collect();
                if !missing.is_empty() {
                    bail!("not set for {project}: {}. Nothing was removed", missing.join(", "));
                }
                keys.iter().for_each(|key| _ = env.unset(key));
                Ok(())
            })?;
            say(&format!("removed for {project}: {}\n{}", keys.join(", "), hint(&paths)))?;
        }
    }
    Ok(0)
}

fn split(pair: &str) -> Result<(&str, Cow<'_, str>)> {
    let usage_error = |message: String| anyhow::Error::from(UsageError(message));
    let (name, value) = pair.split_once('=').ok_or_else(|| usage_error(format!("{pair:?} is not KEY=VALUE")))?;
    check_variable_name(name).map_err(usage_error)?;
    Ok((name, value.into()))
}

/// Where one of the values is `-`, reads it from standard input.
fn read_value(project: &ProjectName, pairs: &mut [(&str, Cow<'_, str>)]) -> Result<()> {
    let mut asked: Vec<_> = pairs.iter_mut().filter(|(_, value)| value == "-").collect();
    let [(name, value)] = &mut asked[..] else {
        if asked.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = asked.iter().map(|(name, _)| format!("{name}=-")).collect();
        let message = format!(
            "{}: only one value can be read from standard input; set each of the others with its own command",
            names.join(", ")
        );
        return Err(UsageError(message).into());
    };
    let read = secret::read(name).with_context(|| format!("cannot read the value of {name} from standard input"))?;
    if read.is_empty() {
        bail!("standard input has no value for {name}; to set it to nothing: gatling config set {project} {name}=");
    }
    *value = read.into();
    Ok(())
}

/// Reads, changes and writes the file, alone.
fn change(paths: &ProjectPaths, change: impl FnOnce(&mut Dotenv) -> Result<()>) -> Result<()> {
    make_private(&paths.state_dir())?;
    let _alone = Lock::take(&paths.state_dir().join("config.lock"), |_| {})?;
    let mut env = Dotenv::read(&paths.dotenv())?;
    change(&mut env)?;
    env.write(&paths.dotenv())
}

fn hint(paths: &ProjectPaths) -> String {
    if paths.is_deployed() { format!("The app gets it with: gatling restart {}\n", paths.name) } else { String::new() }
}
