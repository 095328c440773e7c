//! Migrates the database.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use gatling_pipeline::action::Migration;
use gatling_runs::{Change, Events};

use super::command::run;

pub(super) fn perform(migration: &Migration, events: &Events) -> Result<()> {
    let known = migration.serving.as_deref().map(migrations).unwrap_or_default();
    for new in migrations(&migration.release).difference(&known) {
        events.note(format!("new migration in this release: {new}"));
    }
    let script = migration.script.as_ref().filter(|script| script.find().is_some());
    events.changing(Change::Database, "what the new release expects", Vec::new())?;
    let migrated = run(script.unwrap_or(&migration.command), events);
    if migrated.is_ok() {
        events.changed(Change::Database);
    }
    migrated.context(
        "the database could not be migrated; the new release was not started. If a migration failed halfway, see \
         docs/migrations.md",
    )
}

/// The names of the migrations in a release: `20260101120000_create_items`.
pub(crate) fn migrations(release: &Path) -> BTreeSet<String> {
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
    fn the_migrations_of_a_release_are_found() {
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
