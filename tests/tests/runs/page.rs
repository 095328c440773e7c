//! The page about a run, in a browser.

use std::fs;

use gatling_tests::Browser;
use gatling_tests::places;
use serde_json::Value;

use super::{SERVER, gatling, push};

/// The page is as wide as the window, and no wider.
const FITS: &str = "return document.documentElement.scrollWidth <= window.innerWidth";
/// The bars' beginnings and ends, in pixels.
const BARS: &str = "return [...document.querySelectorAll('.bar')].map(bar => { \
    const box = bar.getBoundingClientRect(); return [box.left, box.right]; })";

#[test]
fn it_shows_a_run_to_scale_on_a_desk_and_on_a_phone_light_and_dark() {
    let server = SERVER.lock();
    server.hello.copy_hooks(&places::guest("recorder").unwrap(), "upgrade.wasm").unwrap();
    push(&server, "0.2.0");
    let file = server.sandbox.root().join("report.html");
    let path = file.display().to_string();
    assert!(gatling(server.sandbox, &["report", "hello", "--out", &path], 0).says("wrote"));
    let url = format!("file://{path}");

    let desk = Browser::builder(server.sandbox).start().unwrap();
    desk.open(&url).unwrap();
    assert_eq!(desk.title().unwrap(), "hello 0.2.0: upgrade succeeded");
    assert_eq!(desk.run_js(FITS).unwrap(), Value::Bool(true));
    let bars: Vec<[f64; 2]> = serde_json::from_value(desk.run_js(BARS).unwrap()).unwrap();
    assert_eq!(bars.len(), 24, "8 steps and 16 hooks");
    assert!(bars.windows(2).all(|two| two[0][0] <= two[1][0] + 0.5), "they follow each other: {bars:?}");
    let hidden = "return document.querySelector('details:not(.empty) .lines').checkVisibility()";
    assert_eq!(desk.run_js(hidden).unwrap(), Value::Bool(false), "output is folded");
    desk.click("details:not(.empty) summary").unwrap();
    assert_eq!(desk.run_js(hidden).unwrap(), Value::Bool(true));
    let loads = "return performance.getEntriesByType('resource').length";
    assert_eq!(desk.run_js(loads).unwrap(), Value::from(0), "the page loads nothing");

    let back = "return getComputedStyle(document.body).backgroundColor";
    let light = desk.run_js(back).unwrap();
    drop(desk);
    let phone = Browser::builder(server.sandbox).dark().phone().start().unwrap();
    phone.open(&url).unwrap();
    assert_eq!(phone.run_js("return window.innerWidth").unwrap(), Value::from(375));
    assert_eq!(phone.run_js(FITS).unwrap(), Value::Bool(true));
    assert_ne!(phone.run_js(back).unwrap(), light, "it is dark");
    server.hello.remove("upgrade.wasm").unwrap();
}

#[test]
fn ten_thousand_lines_and_whatever_a_hook_writes_are_only_text() {
    let server = SERVER.lock();
    let hostile = "IO.puts(\"</pre><script>document.title = 'owned'</script>\")\n\
        Enum.each(1..10_000, &IO.puts(\"line #{&1} \" <> String.duplicate(\"x\", 200)))\n";
    let mix_exs = server.hello.read("mix.exs").unwrap();
    server.hello.write("mix.exs", &format!("{hostile}{mix_exs}")).unwrap();
    push(&server, "0.2.0");
    let file = server.sandbox.root().join("long.html");
    let path = file.display().to_string();
    gatling(server.sandbox, &["report", "hello", "-o", &path], 0);
    assert!(fs::read_to_string(&file).unwrap().contains("line 10000 "));

    let phone = Browser::builder(server.sandbox).phone().start().unwrap();
    phone.open(&format!("file://{path}")).unwrap();

    assert_eq!(phone.title().unwrap(), "hello 0.2.0: upgrade succeeded");
    phone.run_js("document.querySelectorAll('details').forEach(one => one.open = true)").unwrap();
    assert_eq!(phone.run_js(FITS).unwrap(), Value::Bool(true));
    server.hello.write("mix.exs", &mix_exs).unwrap();
}
