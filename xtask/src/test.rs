//! `cargo xtask test`: everything that has to hold.

use anyhow::Result;
use gatling_tests::places;

use crate::{guests, setup, shell};

/// Installs and builds what the tests need, and runs them with `arguments` for `cargo test`.
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    setup::ensure(&setup::ALL)?;
    println!("Building the hooks that the tests use");
    guests::build_all()?;
    let workspace = places::workspace();
    shell::show(shell::cargo().current_dir(workspace).args(["build", "--package", "gatling"]))?;
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
        let target = guests::target_dir()?;
        shell::show(shell::cargo().current_dir(hooks).arg("test").env("CARGO_TARGET_DIR", target))?;
    }
    Ok(())
}
