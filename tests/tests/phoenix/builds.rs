//! The deployed release is built from the pushed commit.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::{PLAIN, assert_says, assert_step_fails};

#[test]
fn code_that_was_compiled_while_the_clock_was_ahead_is_compiled_again() {
    let shop = PLAIN.lock();
    // Otherwise the compiled code would be older than mix.exs, and be compiled again for that reason.
    shop.deploy_version("0.2.0").unwrap();
    let ahead = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
    for app in fs::read_dir(shop.build_dir().join("_build/prod/lib")).unwrap() {
        for note in fs::read_dir(app.unwrap().path().join(".mix")).into_iter().flatten() {
            fs::File::options().append(true).open(note.unwrap().path()).unwrap().set_modified(ahead).unwrap();
        }
    }
    shop.app.replace("lib/shop_web/router.ex", "shop #{Shop.version()}", "new shop").unwrap();
    shop.app.commit("New code").unwrap();

    let output = shop.app.deploy().unwrap();

    assert_says(&output, &["was compiled while this server's clock was ahead"]);
    shop.sandbox.wait_for_answer_at("/version", 200, "new shop\n").unwrap();
}

#[test]
fn the_run_fails_if_assets_are_missing_even_if_no_command_failed() {
    let shop = PLAIN.lock();
    shop.app.replace("mix.exs", "[\"esbuild shop --minify\", \"phx.digest\"]", "[\"cmd true\"]").unwrap();

    // The file exists, from the build of version 0.1.0.
    assert!(shop.build_dir().join("priv/static/cache_manifest.json").is_file());
    assert_step_fails(&shop, "mix_digest", &["priv/static/cache_manifest.json was not written", "phx.digest"]);
}

#[test]
fn a_release_contains_no_code_of_earlier_versions() {
    let shop = PLAIN.lock();
    shop.deploy_version("0.2.0").unwrap();

    let folders = fs::read_dir(shop.deploy_dir().join("releases/0.2.0/shop/lib")).unwrap();
    let folders = folders.map(|folder| folder.unwrap().file_name().into_string().unwrap());
    let own: Vec<_> = folders.filter(|name| name.starts_with("shop-")).collect();
    assert_eq!(own, ["shop-0.2.0"]);
}
