//! `gatling config`.

use anyhow::Result;
use clap::Subcommand;
use gatling::dotenv::{Dotenv, check_name};
use gatling::project::ProjectName;
use gatling::roots::ProjectPaths;
use gatling::run::lock::Lock;

use super::{Misuse, loaded, print, print_json};

/// See and change the environment that a project's app gets
///
/// The variables stand in deployments/PROJECT/.env, readable for its owner alone. A change reaches
/// the app when it is started next: at the next upgrade, or with `service PROJECT restart`. PORT
/// changes with an upgrade only, because nginx has to follow.
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
        /// As a JSON object
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
    Set {
        /// The project
        project: ProjectName,
        /// What to set; quote for your own shell what has spaces in it
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
                let object: serde_json::Map<_, _> =
                    env.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
                print_json(&object)?;
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
                anyhow::bail!("{key} is not set for {project}; {set}");
            };
            print(&format!("{value}\n"))?;
        }
        Command::Set { project, pairs } => {
            let paths = loaded(project)?;
            let pairs = pairs.iter().map(|pair| split(pair)).collect::<Result<Vec<_>>>()?;
            change(&paths, |env| pairs.iter().try_for_each(|(name, value)| env.set(name, value)))?;
            let names: Vec<_> = pairs.iter().map(|(name, _)| *name).collect();
            print(&format!("set for {project}: {}\n{}", names.join(", "), hint(&paths)))?;
        }
        Command::Unset { project, keys } => {
            let paths = loaded(project)?;
            change(&paths, |env| {
                let missing: Vec<_> = keys.iter().filter(|key| env.get(key).is_none()).map(String::as_str).collect();
                if !missing.is_empty() {
                    anyhow::bail!("not set for {project}: {}. Nothing was removed", missing.join(", "));
                }
                keys.iter().for_each(|key| _ = env.unset(key));
                Ok(())
            })?;
            print(&format!("removed for {project}: {}\n{}", keys.join(", "), hint(&paths)))?;
        }
    }
    Ok(0)
}

fn split(pair: &str) -> Result<(&str, &str)> {
    let misuse = |message: String| anyhow::Error::from(Misuse(message));
    let (name, value) = pair.split_once('=').ok_or_else(|| misuse(format!("{pair:?} is no KEY=VALUE")))?;
    check_name(name).map_err(|error| misuse(error.to_string()))?;
    Ok((name, value))
}

/// Reads, changes and writes the file, alone.
fn change(paths: &ProjectPaths, change: impl FnOnce(&mut Dotenv) -> Result<()>) -> Result<()> {
    std::fs::create_dir_all(paths.state_dir())?;
    let _alone = Lock::take(&paths.state_dir().join("config.lock"), |_| {})?;
    let mut env = Dotenv::read(&paths.dotenv())?;
    change(&mut env)?;
    env.write(&paths.dotenv())
}

fn hint(paths: &ProjectPaths) -> String {
    if paths.is_deployed() {
        format!("The app gets it when it is started next: gatling upgrade {}\n", paths.name)
    } else {
        String::new()
    }
}
