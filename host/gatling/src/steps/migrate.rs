//! How the database gets what a release expects of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Action, run};
use crate::env::Env;
use gatling_config::settings::Migrate;
use gatling_process::Command;
use gatling_runs::{Change, Events};
use gatling_templates::MIGRATE_WITH_ECTO;

/// The script that `mix phx.gen.release` writes.
const SCRIPT: &str = "bin/migrate";

/// Migrates the database from a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// What does it.
    #[serde(flatten)]
    pub command: Command,
    /// What does it instead, if the release turns out to have it.
    #[serde(skip)]
    script: Option<Command>,
    /// The new release.
    #[serde(skip)]
    release: PathBuf,
    /// The release that serves, if there is one.
    #[serde(skip)]
    serving: Option<PathBuf>,
}

impl Migration {
    pub(super) fn carry_out(&self, events: &Events) -> Result<()> {
        let known = self.serving.as_deref().map(migrations).unwrap_or_default();
        for migration in migrations(&self.release).difference(&known) {
            events.note(format!("new in this release: {migration}"));
        }
        let script = self.script.as_ref().filter(|script| script.find().is_some());
        events.changing(Change::Database, "what the new release expects", None)?;
        let migrated = run(script.unwrap_or(&self.command), events);
        if migrated.is_ok() {
            events.changed(Change::Database);
        }
        migrated.context(
            "the database could not be migrated; the new release was not started. If a migration failed halfway, see \
             docs/migrations.md",
        )
    }
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$ {}", self.command)
    }
}

/// The step of the first deployment: the project's own set-up, or what that comes to.
pub(crate) fn ecto_setup(env: &Env) -> Result<Vec<Action>> {
    const ALIAS: &str = "ecto.setup";
    const CREATE: &str = "ecto.create";
    if env.settings.migrate == Migrate::Switched(false) {
        return Ok(vec![Action::skip("gatling.toml says `migrate = false`")]);
    }
    let folders = env.facts.folders_with_alias(ALIAS);
    let mut actions: Vec<_> = match env.facts.has_task(ALIAS) {
        true => vec![Action::run(env.mix.command([ALIAS]))],
        false => folders.map(|folder| Action::run(env.mix.command_in(Some(folder), [ALIAS]))).collect(),
    };
    if !actions.is_empty() {
        // A command of the project's own may do more than the alias.
        let is_own = matches!(env.settings.migrate, Migrate::Command(_));
        actions.extend(from_release(env).filter(|_| is_own));
        return Ok(actions);
    }
    if !env.facts.repos.is_empty() {
        actions.push(Action::RunIfTask { task: CREATE, command: env.mix.command([CREATE]) });
    }
    actions.extend(from_release(env));
    if actions.is_empty() {
        actions
            .push(Action::skip(format!("the project has no mix task {ALIAS}, and its config names no `ecto_repos`")));
    }
    Ok(actions)
}

/// Migrates from the new release, if there is anything to migrate.
pub(crate) fn from_release(env: &Env) -> Option<Action> {
    // Where the source doesn't have it, the release can still: mix.exs may name other overlays.
    let script = Command::new(SCRIPT, [""; 0], &env.upgrade_path);
    let (command, script) = match &env.settings.migrate {
        Migrate::Switched(false) => return None,
        Migrate::Command(words) => (Command::new(&words[0], &words[1..], &env.upgrade_path), None),
        Migrate::Switched(true) if env.server.has_migrate_script => (script, None),
        Migrate::Switched(true) => (with_ecto(env)?, Some(script)),
    };
    let serving = env.previous_version.as_ref().map(|release| {
        let folder = env.paths.releases_dir().join(release);
        folder.join(env.paths.name.as_str())
    });
    Some(Action::Migrate(Box::new(Migration { command, script, release: env.upgrade_path.clone(), serving })))
}

fn with_ecto(env: &Env) -> Option<Command> {
    let repos: Vec<_> = env.facts.repos.iter().map(|(app, repo)| format!("{{:{app}, {repo}}}")).collect();
    if repos.is_empty() {
        return None;
    }
    let names: Vec<_> = env.facts.repos.iter().map(|(_, repo)| repo.as_str()).collect();
    let program = format!("bin/{}", env.facts.release);
    let code = MIGRATE_WITH_ECTO.replace("REPOS", &repos.join(", "));
    let mut command = Command::new(&program, ["eval".to_owned(), code], &env.upgrade_path);
    command.shown = Some(format!("{program} eval '... Ecto.Migrator.run({}, :up, all: true)'", names.join(", ")));
    Some(command)
}

/// The names of the migrations that a release carries: `20260101120000_create_items`.
fn migrations(release: &Path) -> BTreeSet<String> {
    let below = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    below(release.join("lib"))
        .flat_map(|app| below(app.join("priv")))
        .flat_map(|repo| below(repo.join("migrations")))
        .filter(|file| file.extension().is_some_and(|extension| extension == "exs"))
        .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_names_its_migrations() {
        let folder = tempfile::tempdir().expect("a folder");
        let migrations_dir = folder.path().join("lib/shop-0.1.0/priv/repo/migrations");
        fs::create_dir_all(&migrations_dir).expect("a folder");
        for name in ["20260101_create.exs", "20250101_begin.exs", ".formatter.exs", "note.txt"] {
            fs::write(migrations_dir.join(name), "").expect("a file");
        }
        let names: Vec<_> = migrations(folder.path()).into_iter().collect();
        assert_eq!(names, ["20250101_begin", "20260101_create"]);
        assert!(migrations(Path::new("/nonexistent")).is_empty());
    }
}
