//! Pushes that go wrong: the version that served goes on serving.

use anyhow::{Result, ensure};
use gatling_tests::processes;

use super::app::App;
use super::server::Server;
use super::steps::Steps;

/// One after the other. Version 0.2.0 serves before them, and 0.3.1 after them.
pub(crate) fn all(app: App, server: &mut Server<'_>, steps: &mut Steps<'_>) {
    steps.take("a push whose migration fails: 0.2.0 keeps serving", || {
        app.set_version(server.project, "0.3.0")?;
        app.add_migration(server.project, "break_items", "execute \"alter table nowhere add column nothing text\"")?;
        let (_, tally) = server.visitor.during(|| server.expect_failure("broken-migration", &["nowhere"]))?;
        ensure!(tally.failed == 0, "{tally}");
        server.visitor.expect_version("0.2.0")?;
        Ok(tally.to_string())
    });
    steps.take("a push with a SECRET_KEY_BASE that is too short: 0.2.0 keeps serving", || {
        app.remove_migration(server.project, "break_items")?;
        app.set_version(server.project, "0.3.1")?;
        with_short_secret(server)
    });
    steps.take("a push while the database is down: 0.2.0 keeps serving", || {
        server.postgres.stop()?;
        let pushed = server.visitor.during(|| server.expect_failure("without-database", &[]));
        server.postgres.start_again()?;
        let (_, tally) = pushed?;
        ensure!(tally.failed == 0, "{tally}");
        server.visitor.expect_version("0.2.0")?;
        Ok(tally.to_string())
    });
    steps.take("the database is back: the next push deploys 0.3.1", || {
        let (_, tally) = server.visitor.during(|| server.deploy("database-is-back", "0.3.1"))?;
        ensure!(tally.failed == 0, "{tally}");
        Ok(tally.to_string())
    });
}

/// The app answers 500 with such a secret, so no visitor gets to it, and the old version keeps the
/// secret that it had.
fn with_short_secret(server: &Server<'_>) -> Result<String> {
    let good = server.variable("SECRET_KEY_BASE")?;
    server.gatling(&["config", "set", server.project.name(), "SECRET_KEY_BASE=short"])?;
    let pushed = server.visitor.during(|| server.expect_failure("short-secret", &["500"]));
    let result = pushed.and_then(|(_, tally)| {
        ensure!(tally.failed == 0, "{tally}");
        server.visitor.expect_version("0.2.0")?;
        let variable = format!("SECRET_KEY_BASE={good}");
        let environment = processes::environment(server.app()?);
        ensure!(environment.contains(&variable), "0.2.0 serves without its own SECRET_KEY_BASE");
        Ok(tally.to_string())
    });
    server.set_secret("SECRET_KEY_BASE", &good)?;
    result
}
