//! Apps like those of Phoenix's generator: which facts Gatling gathers, how visitors reach them, and what happens if
//! something is wrong.

mod builds;
mod environment;
mod generated;
mod health;
mod https;
mod migrations;
mod own_site;
mod port;
mod releases;
mod silence;
mod site;

use gatling_tests::shop::{Serving, SharedShop, Shop};
use gatling_tests::{Output, Sandbox, http};

/// The server of an app without a database.
static PLAIN: SharedShop = SharedShop::without_database();

/// The server of an app with a database.
static WITH_DATABASE: SharedShop = SharedShop::with_database();

/// Asserts that the output contains all of `words`.
#[track_caller]
fn assert_says(output: &Output, words: &[&str]) {
    let text = output.lines().join("\n");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

/// Asserts that the output contains none of `words`.
#[track_caller]
fn assert_is_silent_about(output: &Output, words: &[&str]) {
    let text = output.lines().join("\n");
    for word in words {
        assert!(!text.contains(word), "{word:?} is in:\n{text}");
    }
}

/// Asserts that a run failed before its first step, with all of `words` in its output.
#[track_caller]
fn assert_refused(output: &Output, words: &[&str]) {
    assert_says(output, words);
    assert_says(output, &["Fix it and push again"]);
    assert!(!output.lines().contains(&"mix_deps_get"), "a step was begun:\n{}", output.lines().join("\n"));
}

/// Pushes the project and asserts that it is refused with `words` before anything is changed.
#[track_caller]
fn assert_push_refused(shop: &Shop, words: &[&str]) {
    let before = shop.serving().unwrap();
    let output = shop.push().unwrap();
    assert_refused(&output, words);
    assert_untouched(shop, &before);
}

/// Pushes version 0.2.0 and asserts that `step` fails with `words` and version 0.1.0 serves.
#[track_caller]
fn assert_step_fails(shop: &Shop, step: &str, words: &[&str]) -> Output {
    shop.app.set_version("0.2.0").unwrap();
    let output = shop.push().unwrap();
    assert_says(&output, &[&format!("the step {step}"), "Fix it and push again"]);
    assert_says(&output, words);
    assert_eq!(shop.sandbox.get("/version").unwrap(), (200, "shop 0.1.0\n".to_owned()), "{output:?}");
    output
}

/// Asserts that the app was not even restarted.
#[track_caller]
fn assert_untouched(shop: &Shop, before: &Serving) {
    assert_eq!(&shop.serving().unwrap(), before);
}

/// nginx's answer with its headers, as curl prints it. `args` are additional arguments for curl.
fn curl(sandbox: &Sandbox, host: &str, path: &str, args: &[&str]) -> String {
    let mut curl = sandbox.command("curl", sandbox.root());
    curl.args(["--disable", "--silent", "--show-error", "--include", "--noproxy", "*", "--max-time", "20"]);
    curl.args(["--connect-to", &format!("::127.0.0.1:{}", sandbox.nginx_port())]).args(args);
    let output = Output::of(curl.arg(format!("http://{host}{path}"))).unwrap().expect_success().unwrap();
    output.stdout
}

/// A free port, set as the project's `PORT`.
fn set_free_port(shop: &Shop) -> u16 {
    let port = http::free_port().unwrap();
    shop.gatling(&["config", "set", "shop", &format!("PORT={port}")]).unwrap();
    port
}
