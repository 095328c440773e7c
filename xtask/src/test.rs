//! `cargo xtask test`: everything that has to hold.

use anyhow::Result;
use gatling_tests::places;
use gatling_tests::tools::rust;

use crate::{guests, setup, shell};

/// Installs and builds what the tests need, and runs them with `arguments` for `cargo test`.
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    setup::ensure(&setup::ALL)?;
    let workspace = places::workspace();
    guests::build_gatling()?;
    println!("Building the hooks that the tests use");
    guests::build_all()?;
    shell::show(
        shell::cargo()
            .current_dir(workspace)
            .args(["test", "--workspace"])
            .args(arguments)
            .env("GATLING_GUESTS", places::guests_dir()?),
    )?;
    if arguments.is_empty() {
        println!("Testing the example app's hooks, as its author would");
        let hooks = workspace.join("examples/hello/hooks");
        let target = rust::target_dir()?;
        shell::show(shell::cargo().current_dir(hooks).arg("test").env("CARGO_TARGET_DIR", target))?;
    }
    Ok(())
}
