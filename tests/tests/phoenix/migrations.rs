//! The database is migrated before visitors reach the new release.

use gatling_tests::Output;
use gatling_tests::shop::{SETTINGS, Shop};

use crate::{WITH_DATABASE, assert_is_silent_about, assert_says, assert_step_fails, assert_untouched};

/// Whether the table has the column.
fn has_column(shop: &mut Shop, column: &str) -> bool {
    let sql =
        format!("select 1 from information_schema.columns where table_name = 'items' and column_name = '{column}'");
    shop.postgres().psql("shop", &sql).unwrap() == "1"
}

/// The number of the line that contains `text`.
#[track_caller]
fn position(output: &Output, text: &str) -> usize {
    let lines = output.lines();
    lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text:?} is not in:\n{lines:#?}"))
}

#[test]
fn an_upgrade_migrates_before_the_new_release_is_started_and_names_the_migration() {
    let mut shop = WITH_DATABASE.lock();
    shop.app.add_migration("add_prices", "alter table items add column price int").unwrap();

    let output = shop.deploy_version("0.2.0").unwrap();

    let named = position(&output, "new migration in this release: 20260101000001_add_prices");
    let migrated = position(&output, "== Migrated 20260101000001");
    let switched = position(&output, " start-beside 0.2.0");
    assert!(named < migrated && migrated < switched, "{output:?}");
    assert!(has_column(&mut shop, "price"));

    let plan = shop.gatling(&["plan", "shop"]).unwrap();
    assert_says(&plan, &["bin/shop eval '... Ecto.Migrator.run(Shop.Repo, :up, all: true)'"]);
}

#[test]
fn a_migration_that_fails_ends_the_run_and_the_old_version_is_not_even_restarted() {
    let mut shop = WITH_DATABASE.lock();
    let before = shop.serving().unwrap();
    shop.app.add_migration("add_prices", "alter table items add column price int").unwrap();
    shop.app.add_migration("rename_nothing", "alter table nothing rename to something").unwrap();

    let words = [
        "the database could not be migrated; the new release was not started",
        "relation \"nothing\" does not exist",
        "shop 0.1.0 is serving.",
    ];
    let output = assert_step_fails(&shop, "upgrade_service", &words);

    assert_untouched(&shop, &before);
    assert_says(&output, &["new migration in this release: 20260101000002_rename_nothing"]);
    // The migration before it was carried out, and the old version works with it.
    assert!(has_column(&mut shop, "price"));
    assert_eq!(shop.sandbox.get("/items").unwrap(), (200, "seed\n".to_owned()));

    shop.app
        .replace("priv/repo/migrations/20260101000002_rename_nothing.exs", "alter table nothing", "alter table items")
        .unwrap();
    shop.app
        .replace("priv/repo/migrations/20260101000002_rename_nothing.exs", "rename to something", "add column size int")
        .unwrap();
    let output = shop.deploy_version("0.2.0").unwrap();
    assert_is_silent_about(&output, &["== Migrated 20260101000001"]);
    assert!(has_column(&mut shop, "size"));
}

#[test]
fn a_project_can_turn_off_migrations() {
    let mut shop = WITH_DATABASE.lock();
    shop.app.write("gatling.toml", &format!("migrate = false\n{SETTINGS}")).unwrap();
    shop.app.add_migration("add_prices", "alter table items add column price int").unwrap();

    let output = shop.deploy_version("0.2.0").unwrap();

    assert_is_silent_about(&output, &["Migrated", "Migrator"]);
    assert!(!has_column(&mut shop, "price"));
}

#[test]
fn the_projects_own_command_migrates_from_the_release() {
    let mut shop = WITH_DATABASE.lock();
    let code = "Ecto.Migrator.with_repo(Shop.Repo, & &1.query!(~s(alter table items add column own int)))";
    let own = format!("migrate = [\"bin/shop\", \"eval\", {code:?}]\n{SETTINGS}");
    shop.app.write("gatling.toml", &own).unwrap();
    shop.app.add_migration("add_prices", "alter table items add column price int").unwrap();

    let output = shop.deploy_version("0.2.0").unwrap();

    assert_says(&output, &["$ bin/shop eval", "add column own int"]);
    assert!(has_column(&mut shop, "own") && !has_column(&mut shop, "price"));
}

#[test]
fn the_releases_own_migrate_script_is_preferred() {
    let mut shop = WITH_DATABASE.lock();
    shop.app.copy("tests/apps/release_overlays/rel", "rel", &[]).unwrap();
    shop.app.copy("tests/apps/release_overlays/lib", "lib", &[]).unwrap();
    let script = "exec ./shop eval Shop.Release.migrate";
    shop.app
        .replace("rel/overlays/bin/migrate", script, &format!("echo by the script of the release\n{script}"))
        .unwrap();
    shop.app.add_migration("add_prices", "alter table items add column price int").unwrap();

    let output = shop.deploy_version("0.2.0").unwrap();

    assert_says(&output, &["$ bin/migrate", "by the script of the release", "== Migrated 20260101000001"]);
    assert!(has_column(&mut shop, "price"));
    let plan = shop.gatling(&["plan", "shop", "upgrade"]).unwrap();
    assert_says(&plan, &["$ bin/migrate"]);
}
