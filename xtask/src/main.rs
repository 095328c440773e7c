//! Sets up, shows, tests and times Gatling: `cargo xtask`.

mod bench;
mod demo;
mod guests;
mod interrupt;
mod phoenix;
mod setup;
mod shell;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sets up, shows, tests and times Gatling.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Shows what Gatling does: pushes an app to a server in a folder, then a new version with hooks
    ///
    /// Installs what is missing, builds Gatling and the example's hooks, and makes a sandbox: a
    /// folder with a home, init scripts and an nginx of its own on a high port of 127.0.0.1.
    /// Nothing else on this machine is touched, and the sandbox is removed at the end.
    Demo {
        /// Leave the sandbox running at the end, and say how to stop it
        #[arg(long)]
        keep: bool,
    },
    /// Installs what is missing, builds everything and runs all tests
    Test {
        /// What to hand to `cargo test`, after `--`: a filter, say
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Times hooks in every language, and upgrades with and without them, against scripts that do the same
    ///
    /// Of upgrades of a Phoenix app it says how long they take besides mix, the database and the app itself.
    /// Ends with a list of targets, and with 1 when Gatling with hooks is slower than a script with
    /// hooks, or its program is too large. Takes some minutes.
    Bench(bench::Options),
    /// Makes a stock Phoenix app, pushes it, and does with it what a user does: in a real browser too
    ///
    /// Prints every step and how it went, and ends with 1 when one failed. The app's dependencies come
    /// from hex.pm, or from the mirror that HEX_MIRROR names, and from GitHub; so do Hex and phx_new,
    /// unless phx_new is installed. Takes some ten minutes.
    Phoenix(phoenix::Options),
    /// Installs what the demo and the tests need and this machine lacks
    Setup,
    /// Builds the hooks of the tests and of the examples, and says where they are
    Guests,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Task::Demo { keep } => demo::demo(keep),
        Task::Test { arguments } => test::test(&arguments),
        Task::Bench(options) => bench::bench(&options),
        Task::Phoenix(options) => phoenix::phoenix(&options),
        Task::Setup => setup::ensure(&setup::ALL).map(|()| println!("Everything is there.")),
        Task::Guests => setup::ensure(&setup::HOOKS).and_then(|()| guests::list()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
