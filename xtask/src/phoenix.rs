//! `cargo xtask phoenix`: a stock Phoenix app on Gatling, as a user would have it.

mod app;
mod server;
mod steps;
mod story;
mod toolchain;
mod troubles;
mod visitor;

use std::path::PathBuf;
use std::{env, fmt, fs};

use anyhow::{Context, Result};
use clap::ValueEnum;
use gatling_tests::{Sandbox, places};

use crate::interrupt::Interrupt;
use crate::{guests, setup, shell};
use app::App;
use server::Server;
use steps::Steps;
use toolchain::Toolchain;

/// The host names of the app.
const HOSTS: [&str; 2] = ["www.example.com", "shop.example.org"];

/// What to try.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which Phoenix: its generator makes the app
    #[arg(long = "phoenix", value_name = "VERSION")]
    release: Release,
    /// With which options the app is made; all but the default have a shorter list of steps
    #[arg(long, default_value = "default")]
    variant: Variant,
    /// Leave the app running at the end, and say how to stop it
    #[arg(long)]
    keep: bool,
}

/// A minor version of Phoenix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Release {
    /// Without `force_ssl`.
    #[value(name = "1.7")]
    V1_7,
    /// With `force_ssl`.
    #[value(name = "1.8")]
    V1_8,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_7 => "1.7",
            Self::V1_8 => "1.8",
        })
    }
}

/// Options of the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Variant {
    /// None: an app with a database, LiveView, esbuild and Tailwind.
    Default,
    /// Without a database.
    NoEcto,
    /// Without esbuild and Tailwind, and without a database.
    NoAssets,
    /// An umbrella of two apps.
    Umbrella,
}

impl Variant {
    /// The options as they are typed.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Default => &[],
            Self::NoEcto => &["--no-ecto"],
            Self::NoAssets => &["--no-assets", "--no-ecto"],
            Self::Umbrella => &["--umbrella"],
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// Makes the app, and does with it what a user does, on a server in a folder.
pub(crate) fn phoenix(options: &Options) -> Result<()> {
    setup::ensure(&setup::PHOENIX)?;
    if env::var_os("GATLING_BIN").is_none() {
        guests::build_gatling()?;
    }
    let app = App { release: options.release, variant: options.variant };
    let toolchain = Toolchain::find(app.release)?;
    let evidence = evidence(app)?;
    let interrupt = Interrupt::catch()?;
    let mut sandbox = Sandbox::new()?;
    toolchain.hand_to(&mut sandbox)?;
    let mut steps = Steps::new(&interrupt);
    println!("\nPhoenix {}, {}, in {}\n", app.release, app.variant.name(), sandbox.root().display());
    let played = play(app, &sandbox, &mut steps, evidence.clone(), options.keep);
    let summed_up = steps.sum_up();
    println!("Pictures and the logs of the pushes are in {}", evidence.display());
    if options.keep {
        sandbox.keep();
    }
    summed_up.and(played)
}

fn play(app: App, sandbox: &Sandbox, steps: &mut Steps<'_>, evidence: PathBuf, keep: bool) -> Result<()> {
    let mut project = None;
    let options: String = app.variant.options().iter().map(|option| format!(" {option}")).collect();
    steps.need(&format!("mix phx.new shop{options}"), || {
        project = Some(app.generate(sandbox)?);
        Ok(String::new())
    })?;
    let project = project.context("a step that went well has made the project")?;
    steps.need("a page with the version and a counter, two host names, a commit", || {
        app.complete(&project)?;
        Ok(String::new())
    })?;
    let mut server = Server::start(sandbox, &project, evidence)?;
    let played = match app.variant {
        Variant::Default => story::whole(app, &mut server, steps, keep),
        _ => story::short(app, &mut server, steps, keep),
    };
    if keep {
        say_how_to_stop(&mut server);
    }
    played
}

/// An empty folder for what is to be looked at afterwards.
fn evidence(app: App) -> Result<PathBuf> {
    let folder = places::target_dir()?.join("phoenix").join(format!("{}-{}", app.release, app.variant.name()));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

fn say_how_to_stop(server: &mut Server<'_>) {
    let sandbox = server.sandbox;
    let sshd = server.sshd.keep();
    let (postgres, cluster) = server.postgres.keep();
    println!("\nStill running: the app's repository is {}", server.project.dir().display());
    println!("To use gatling and git in the sandbox:");
    let own = sandbox.variables().map(|(name, value)| (name.into(), value));
    for (name, value) in own.iter().chain(sandbox.added_variables()) {
        println!("    export {}={}", name.display(), shell::quoted(&value.to_string_lossy()));
    }
    println!("To see its page:\n    {}", shell::text(&server.visitor.curl(&server.visitor.url(HOSTS[0], "/counter"))));
    println!("To stop it and remove it:");
    println!("    {}/shop stop", sandbox.etc().display());
    println!("    kill $(cat {}) {sshd}", sandbox.nginx_pid_file().display());
    if let Some(postgres) = postgres {
        println!("    kill -INT {postgres}");
    }
    println!("    rm -r {} {}", sandbox.root().display(), cluster.display());
}
