//! Every release keeps the environment that it was deployed with.

use std::fs;

use gatling_tests::postgres::PASSWORD;

use crate::{WITH_DATABASE, assert_step_fails, assert_untouched};

#[test]
fn if_a_bad_value_makes_the_new_release_fail_the_old_one_keeps_its_own_value() {
    let shop = WITH_DATABASE.lock();
    shop.gatling(&["config", "set", "shop", "POOL_SIZE=ten"]).unwrap();

    assert_step_fails(&shop, "upgrade_service", &["ten", "shop 0.1.0 is serving."]);

    assert_eq!(shop.sandbox.get("/health").unwrap(), (200, "ok\n".to_owned()));
    assert!(fs::read_to_string(shop.deploy_dir().join(".env")).unwrap().contains("POOL_SIZE='ten'"));
    let own = fs::read_to_string(shop.deploy_dir().join("current/.env")).unwrap();
    assert!(!own.contains("POOL_SIZE='ten'"), "{own}");
    shop.script(&["restart"]).unwrap();
    assert_eq!(shop.sandbox.get("/health").unwrap(), (200, "ok\n".to_owned()));
}

#[test]
fn if_a_wrong_secret_makes_the_new_release_fail_the_old_one_is_restored_with_its_own_secret() {
    let shop = WITH_DATABASE.lock();
    shop.gatling(&["config", "set", "shop", "SECRET_KEY_BASE=short"]).unwrap();

    let words = ["answers with 500", "secret_key_base to be at least 64 bytes"];
    assert_step_fails(&shop, "upgrade_service", &words);

    assert_eq!(shop.sandbox.get("/health").unwrap(), (200, "ok\n".to_owned()));
}

#[test]
fn nothing_is_upgraded_while_the_database_is_down() {
    let mut shop = WITH_DATABASE.lock();
    let before = shop.serving().unwrap();
    shop.postgres().stop().unwrap();

    let words = ["the database could not be migrated", "Connection refused"];
    assert_step_fails(&shop, "upgrade_service", &words);

    assert_untouched(&shop, &before);
    shop.postgres().start_again().unwrap();
    assert_eq!(shop.sandbox.get("/health").unwrap(), (200, "ok\n".to_owned()));
}

#[test]
fn nothing_is_upgraded_if_the_database_refuses_the_password() {
    let mut shop = WITH_DATABASE.lock();
    let before = shop.serving().unwrap();
    let url = shop.postgres().url("shop").replace(PASSWORD, "another-password");
    shop.gatling(&["config", "set", "shop", &format!("DATABASE_URL={url}")]).unwrap();

    let output = assert_step_fails(&shop, "upgrade_service", &["password authentication failed for user \"shop\""]);

    assert!(!output.says("another-password"), "the password is in the output: {output:?}");
    assert_untouched(&shop, &before);
}

#[test]
fn pushing_an_old_commit_restores_its_code_with_the_current_environment() {
    let shop = WITH_DATABASE.lock();
    let old = shop.app.head().unwrap();
    shop.deploy_version("0.2.0").unwrap();
    shop.gatling(&["config", "set", "shop", "POOL_SIZE=3"]).unwrap();

    let output = shop.app.push_refs(&[&format!("+{old}:main")]).unwrap();

    assert!(output.says("shop 0.1.0+2 is serving at"), "{output:?}");
    shop.sandbox.wait_for_answer_at("/version", 200, "shop 0.1.0\n").unwrap();
    let own = fs::read_to_string(shop.deploy_dir().join("current/.env")).unwrap();
    assert!(own.contains("POOL_SIZE='3'"), "{own}");
}
