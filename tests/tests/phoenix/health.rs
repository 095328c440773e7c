//! When a new version counts as serving, and what happens if it does not.

use std::time::{Duration, Instant};

use gatling_tests::shop::{SETTINGS, Shop};

use crate::{PLAIN, assert_refused, assert_says, assert_step_fails};

/// Sets the app's answer at its health path, as Elixir code.
fn answer_health(shop: &Shop, answer: &str) {
    shop.app.replace("lib/shop_web/router.ex", "{200, @text, \"ok\\n\"}", answer).unwrap();
}

#[test]
fn an_app_that_answers_with_an_error_fails_soon_and_its_last_output_is_shown() {
    let shop = PLAIN.lock();
    answer_health(&shop, "raise(\"the oven is cold\")");
    let begun = Instant::now();

    let words = ["answers with 500", "the oven is cold", "shop 0.1.0 is serving."];
    assert_step_fails(&shop, "upgrade_service", &words);

    assert!(begun.elapsed() < Duration::from_secs(40), "Gatling waited for a minute");
}

#[test]
fn an_app_that_answers_once_and_exits_is_replaced_by_the_old_release() {
    let shop = PLAIN.lock();
    // The default: three seconds.
    shop.app.replace("gatling.toml", "watch = \"1s\"\n", "").unwrap();
    answer_health(
        &shop,
        "(spawn(fn -> Process.sleep(1500); IO.puts(\"out of bread\"); System.halt(3) end); {200, @text, \"ok\\n\"})",
    );

    let words = ["answered, and stopped by itself", "out of bread"];
    assert_step_fails(&shop, "upgrade_service", &words);
}

#[test]
fn gatling_waits_for_an_app_that_is_not_ready_yet() {
    let shop = PLAIN.lock();
    let is_ready = "elem(:erlang.statistics(:wall_clock), 0) > 7000";
    answer_health(&shop, &format!("if({is_ready}, do: {{200, @text, \"ok\\n\"}}, else: {{503, @text, \"soon\\n\"}})"));

    let output = shop.deploy_version("0.2.0").unwrap();

    assert_says(&output, &["answers with 503", "0.2.0 answers on port"]);
}

#[test]
fn a_redirect_to_a_page_that_answers_is_healthy() {
    let shop = PLAIN.lock();
    answer_health(&shop, "{:redirect, \"/login\"}\n  defp route(\"/login\"), do: {200, @text, \"who?\\n\"}");

    shop.deploy_version("0.2.0").unwrap();

    assert_eq!(shop.sandbox.get("/health").unwrap().0, 302);
}

#[test]
fn a_redirect_loop_is_a_failure() {
    let shop = PLAIN.lock();
    answer_health(&shop, "{:redirect, \"/login\"}\n  defp route(\"/login\"), do: {:redirect, \"/health\"}");

    let words = ["so visitors still get the old release", "redirect loop", "the previous release was restored"];
    assert_step_fails(&shop, "upgrade_service", &words);
}

#[test]
fn a_redirect_to_a_port_that_nginx_does_not_serve_is_a_failure() {
    let shop = PLAIN.lock();
    answer_health(&shop, "{:redirect, \"http://www.example.com:4000/login\"}");

    let words = [
        "so visitors still get the old release",
        "http://www.example.com:4000/login",
        "on port 4000",
        "the previous release was restored",
    ];
    assert_step_fails(&shop, "upgrade_service", &words);
}

#[test]
fn an_app_that_does_not_listen_on_its_port_fails_after_the_projects_timeout() {
    let shop = PLAIN.lock();
    shop.app.write("gatling.toml", &SETTINGS.replace("watch", "timeout = \"3s\"\nwatch")).unwrap();
    shop.app.replace("config/runtime.exs", "System.get_env(\"PORT\") || \"4000\"", "\"0\"").unwrap();

    let words = ["did not answer at", "within 3 s", "the variable PORT", "shop 0.1.0 is serving."];
    assert_step_fails(&shop, "upgrade_service", &words);
}

#[test]
fn a_run_that_changes_nothing_reports_that_the_app_is_down() {
    let shop = PLAIN.lock();
    shop.script(&["stop"]).unwrap();
    shop.app.set_version("0.0.0").unwrap();

    let output = shop.push().unwrap();

    assert_refused(&output, &["shop is NOT serving: its release 0.1.0 does not answer"]);
}
