//! Which release is built, and its name.

use std::fs;

use gatling_tests::{Browser, Postgres, Sandbox};

use crate::{PLAIN, assert_push_refused, assert_says};

/// A text for `releases:` in mix.exs.
const SEVERAL: &str =
    "releases: [shop: [applications: [shop: :permanent]], storefront: [applications: [shop: :permanent]]]";

#[test]
fn the_default_one_of_several_releases_is_deployed_and_started() {
    let shop = PLAIN.lock();
    shop.app.replace("mix.exs", "deps: deps()", &format!("{SEVERAL},\n      deps: deps()")).unwrap();
    assert_push_refused(&shop, &["several releases (shop, storefront)", "`default_release: :NAME`"]);

    shop.app.replace("mix.exs", SEVERAL, &format!("{SEVERAL},\n      default_release: :storefront")).unwrap();
    let output = shop.deploy_version("0.2.0").unwrap();

    assert_says(&output, &["$ mix release storefront --overwrite"]);
    let programs = shop.deploy_dir().join("current/shop/bin");
    assert!(programs.join("storefront").is_file() && !programs.join("shop").exists());
    shop.script(&["restart"]).unwrap();
    assert_eq!(shop.sandbox.get("/version").unwrap(), (200, "shop 0.2.0\n".to_owned()));
}

#[test]
fn the_only_declared_release_is_deployed() {
    let shop = PLAIN.lock();
    let only = "releases: [storefront: [version: \"2.0.0\", applications: [shop: :permanent]]]";
    shop.app.replace("mix.exs", "deps: deps()", &format!("{only},\n      deps: deps()")).unwrap();
    shop.app.commit("A release").unwrap();

    let output = shop.app.deploy().unwrap();

    // It has its own version.
    assert_says(&output, &["shop 2.0.0 is serving at"]);
    assert!(shop.deploy_dir().join("releases/2.0.0/shop/bin/storefront").is_file());
    assert_eq!(shop.sandbox.get("/version").unwrap(), (200, "shop 0.1.0\n".to_owned()));
}

#[test]
fn an_umbrellas_release_is_built_from_the_app_that_no_other_app_depends_on() {
    let sandbox = Sandbox::new().unwrap();
    let postgres = Postgres::start(&sandbox).unwrap();
    let shop = sandbox.phoenix_app().unwrap().as_umbrella().unwrap();
    // The files of phx.gen.release.
    shop.copy("tests/apps/release_overlays/rel", "apps/shop_web/rel", &[]).unwrap();
    shop.copy("tests/apps/release_overlays/lib", "apps/shop/lib", &[]).unwrap();
    shop.replace("apps/shop_web/rel/overlays/bin/migrate", "./shop ", "./shop_web ").unwrap();
    shop.replace("apps/shop_web/rel/overlays/bin/server", "./shop ", "./shop_web ").unwrap();
    shop.write("gatling.toml", "[health]\npath = \"/items\"\nwatch = \"1s\"\n").unwrap();
    shop.commit("bin/migrate").unwrap();
    sandbox.run(&["load", "shop"]).unwrap().expect_success().unwrap();
    shop.configure(&postgres).unwrap();

    let output = shop.deploy().unwrap();

    assert_says(&output, &["$ cd apps/shop && mix ecto.setup", "$ cd apps/shop_web && mix assets.deploy"]);
    let release = sandbox.home().join("deployments/shop/current/shop");
    assert!(release.join("bin/shop_web").is_file());
    let apps: Vec<_> = fs::read_dir(release.join("lib")).unwrap().map(|app| app.unwrap().file_name()).collect();
    assert!(apps.iter().any(|app| *app == *"shop-0.1.0"), "{apps:?}");
    assert_eq!(sandbox.get("/items").unwrap(), (200, "seed\n".to_owned()));
    let browser = Browser::start(&sandbox).unwrap();
    browser.open("http://www.example.com/").unwrap();
    browser.wait_for_text("#echo", "hello").unwrap();
    let color = browser.run_js("return getComputedStyle(document.querySelector('h1')).color").unwrap();
    assert_eq!(color, "rgb(0, 100, 0)", "the digested style sheet");

    shop.add_migration("add_prices", "alter table items add column price int").unwrap();
    shop.set_version("0.2.0").unwrap();
    shop.commit("Prices").unwrap();
    let output = shop.deploy().unwrap();

    let words =
        ["new migration in this release: 20260101000001_add_prices", "$ bin/migrate", "== Migrated 20260101000001"];
    assert_says(&output, &words);
    assert_eq!(postgres.psql("shop", "select count(price) from items").unwrap(), "0");
}
