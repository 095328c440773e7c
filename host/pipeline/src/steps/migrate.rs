//! How the database is migrated.

use anyhow::Result;
use gatling_config::settings::Migrate;
use gatling_process::Command;
use gatling_templates::MIGRATE_WITH_ECTO;

use crate::action::{Action, Migration};
use crate::facts::Facts;

/// The script that `mix phx.gen.release` writes.
const SCRIPT: &str = "bin/migrate";

/// The step of the first deployment: the project's own setup task, or its equivalent.
pub(crate) fn ecto_setup(facts: &Facts) -> Result<Vec<Action>> {
    const ALIAS: &str = "ecto.setup";
    const CREATE: &str = "ecto.create";
    if facts.settings.migrate == Migrate::Switched(false) {
        return Ok(vec![Action::skip("gatling.toml sets `migrate = false`")]);
    }
    if facts.previous_version.is_some() {
        // The database was set up before the app was started; setting it up again could insert its seeds twice.
        let migrate = from_release(facts);
        return Ok(vec![migrate.unwrap_or_else(|| Action::skip("an earlier run has set up the database"))]);
    }
    let folders = facts.mix.folders_with_alias(ALIAS);
    let mut actions: Vec<_> = match facts.mix.has_task(ALIAS) {
        true => vec![Action::run(facts.mix_call.command([ALIAS]))],
        false => folders.map(|folder| Action::run(facts.mix_call.command_in(Some(folder), [ALIAS]))).collect(),
    };
    if !actions.is_empty() {
        // The project's own command may do more than the alias.
        let is_own = matches!(facts.settings.migrate, Migrate::Command(_));
        actions.extend(from_release(facts).filter(|_| is_own));
        return Ok(actions);
    }
    if !facts.mix.repos.is_empty() {
        actions.push(Action::RunIfTask { task: CREATE, command: facts.mix_call.command([CREATE]) });
    }
    actions.extend(from_release(facts));
    if actions.is_empty() {
        actions
            .push(Action::skip(format!("the project has no mix task {ALIAS}, and its config names no `ecto_repos`")));
    }
    Ok(actions)
}

/// Migrates from the new release, if the project has anything to migrate.
pub(crate) fn from_release(facts: &Facts) -> Option<Action> {
    // Even if the source has no script, the release can have one: mix.exs may name other overlays.
    let script = Command::new(SCRIPT, [""; 0], &facts.upgrade_path);
    let (command, script) = match &facts.settings.migrate {
        Migrate::Switched(false) => return None,
        Migrate::Command(words) => (Command::new(&words[0], &words[1..], &facts.upgrade_path), None),
        Migrate::Switched(true) if facts.server.has_migrate_script => (script, None),
        Migrate::Switched(true) => (with_ecto(facts)?, Some(script)),
    };
    let serving = facts.previous_version.as_ref().map(|release| {
        let folder = facts.paths.releases_dir().join(release);
        folder.join(facts.paths.name.as_str())
    });
    Some(Action::Migrate(Box::new(Migration { command, script, release: facts.upgrade_path.clone(), serving })))
}

/// The app's repositories, as a list in Elixir.
pub(crate) fn repositories(facts: &Facts) -> String {
    let repos: Vec<_> = facts.mix.repos.iter().map(|(app, repo)| format!("{{:{app}, {repo}}}")).collect();
    repos.join(", ")
}

fn with_ecto(facts: &Facts) -> Option<Command> {
    let repos = repositories(facts);
    if repos.is_empty() {
        return None;
    }
    let names: Vec<_> = facts.mix.repos.iter().map(|(_, repo)| repo.as_str()).collect();
    let program = format!("bin/{}", facts.mix.release);
    let code = MIGRATE_WITH_ECTO.replace("REPOS", &repos);
    let mut command = Command::new(&program, ["eval".to_owned(), code], &facts.upgrade_path);
    command.label = Some(format!("{program} eval '... Ecto.Migrator.run({}, :up, all: true)'", names.join(", ")));
    Some(command)
}
