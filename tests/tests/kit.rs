//! The helpers for tests of Phoenix apps: a database, a browser, and the apps.

use std::fs;
use std::path::{Path, PathBuf};

use gatling_tests::{Browser, Certificate, HOST, Output, PhoenixApp, Postgres, Running, Sandbox, Sshd, http, waiting};

/// A sandbox in which `gatling` does nothing, because these tests do not need it.
fn sandbox() -> Sandbox {
    Sandbox::with_program(PathBuf::from("/bin/true")).unwrap()
}

/// Builds the app for production.
fn build(app: &PhoenixApp) {
    app.mix(&["deps.get", "--only", "prod"]).unwrap();
    app.mix(&["compile"]).unwrap();
    let digest = ["cmd", "--app", "shop_web", "mix assets.deploy"];
    let is_umbrella = app.dir().join("apps").is_dir();
    app.mix(if is_umbrella { &digest } else { &["assets.deploy"] }).unwrap();
    app.mix(&["release"]).unwrap();
}

/// Starts the release, and waits until it answers.
fn serve(sandbox: &Sandbox, app: &PhoenixApp, variables: &[(&str, String)]) -> (Running, u16) {
    let port = http::free_port().unwrap();
    let mut command = sandbox.command(app.dir().join("_build/prod/rel/shop/bin/shop"), sandbox.root());
    command.arg("start").envs(variables.iter().cloned());
    command.envs([("PORT", port.to_string().as_str()), ("PHX_SERVER", "true"), ("PHX_HOST", HOST)]);
    let running = sandbox.start(command.env("RELEASE_DISTRIBUTION", "none")).unwrap();
    let answered = waiting::wait_for("shop to answer", || http::get(port, "127.0.0.1", "/version").ok());
    let answered = answered.unwrap_or_else(|error| panic!("{error}: {}", running.said()));
    assert_eq!(answered, (200, "shop 0.1.0\n".to_owned()), "{}", running.said());
    (running, port)
}

#[test]
fn postgres_checks_the_password_and_keeps_its_data_while_it_is_stopped() {
    let sandbox = sandbox();
    let mut postgres = Postgres::start(&sandbox).unwrap();
    postgres.psql("postgres", "create database shop").unwrap();
    postgres.psql("shop", "create table items (id int, name text); insert into items values (1, 'tea')").unwrap();

    let query = "select * from items";
    assert_eq!(postgres.psql("shop", query).unwrap(), "1|tea");

    let wrong = postgres.url("shop").replacen("ecto:", "postgresql:", 1).replace("right-password", "wrong-password");
    let output = sandbox.command("psql", sandbox.root()).args([&wrong, "-c", query]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("password authentication failed"), "{output:?}");

    postgres.stop().unwrap();
    assert!(postgres.psql("shop", query).unwrap_err().to_string().contains("select"));
    postgres.start_again().unwrap();
    assert_eq!(postgres.psql("shop", query).unwrap(), "1|tea");
}

#[test]
fn added_variables_are_set_for_commands_and_ssh_sessions() {
    let mut sandbox = sandbox();
    let value = r#"a "quoted" \ 'value', and # more"#;
    sandbox.add_variables([("MIX_TRIED".into(), value.into()), ("HEX_TRIED".into(), "two".into())]);
    let sshd = Sshd::start(&sandbox).unwrap();
    let script = r#"printf '%s/%s' "$MIX_TRIED" "$HEX_TRIED""#;

    let here = Output::of(sandbox.command("sh", sandbox.root()).args(["-c", script])).unwrap();
    let ssh = format!("{} {} \"$0\"", sshd.client(), sshd.url(Path::new("")));
    let there = Output::of(std::process::Command::new("sh").args(["-c", &ssh, script])).unwrap();

    assert_eq!(here.expect_success().unwrap().stdout, format!("{value}/two"));
    assert_eq!(there.expect_success().unwrap().stdout, format!("{value}/two"));
}

#[test]
fn a_browser_can_only_reach_the_sandboxs_nginx() {
    let sandbox = sandbox();
    let browser = Browser::start(&sandbox).unwrap();

    browser.open(&format!("http://{HOST}/")).unwrap();

    assert_eq!(browser.text("body").unwrap(), "no project is served under this name");
    let script = "document.body.innerHTML = '<a href=\"#\" onclick=\"document.title = 42\">'; return location.host";
    assert_eq!(browser.run_js(script).unwrap(), HOST);
    browser.run_js("document.querySelector('a').textContent = 'click'").unwrap();
    browser.click("a").unwrap();
    assert_eq!(browser.title().unwrap(), "42");
    let picture = sandbox.root().join("page.png");
    browser.screenshot(&picture).unwrap();
    assert!(fs::read(&picture).unwrap().starts_with(b"\x89PNG"));

    assert!(browser.open("http://www.example.org/").is_err());
}

#[test]
fn a_browser_trusts_only_the_given_certificate() {
    let sandbox = sandbox();
    let certificate = Certificate::new(&sandbox, &[HOST]).unwrap();
    let port = http::free_port().unwrap();
    let mut openssl = sandbox.command("openssl", sandbox.root());
    openssl.args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}"), "-cert"]);
    openssl.arg(&certificate.certificate).arg("-key").arg(&certificate.key);
    let server = sandbox.start(&mut openssl).unwrap();
    server.wait_for("ACCEPT").unwrap();
    let url = format!("https://{HOST}/");

    let trusting = Browser::builder(&sandbox).host(HOST, 443, port).trust(&certificate).unwrap().start().unwrap();
    trusting.open(&url).unwrap();
    assert!(trusting.text("body").unwrap().contains("s_server"));
    drop(trusting);

    let doubting = Browser::builder(&sandbox).host(HOST, 443, port).start().unwrap();
    doubting.open(&url).unwrap();
    doubting.wait_for_text("body", "ERR_CERT_AUTHORITY_INVALID").unwrap();
    server.kill().unwrap();
}

#[test]
fn the_app_is_built_migrated_and_works_in_a_browser() {
    let sandbox = sandbox();
    let postgres = Postgres::start(&sandbox).unwrap();
    let shop = sandbox.phoenix_app().unwrap().with_release_overlays().unwrap();
    shop.add_migration("add_prices", "alter table items add column price int").unwrap();
    build(&shop);
    let variables = shop.variables(&postgres);
    shop.mix_command(&["ecto.create"]).envs(variables.clone()).output().unwrap();
    let migrate = shop.dir().join("_build/prod/rel/shop/bin/migrate");
    let output = sandbox.command(migrate, sandbox.root()).envs(variables.clone()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("== Running 20260101000000 Shop.Repo.Migrations.CreateItems.change/0 forward"), "{output:?}");
    assert!(said.contains("== Migrated 20260101000001 in 0."), "{output:?}");
    assert_eq!(postgres.psql("shop", "select count(price) from items").unwrap(), "0");

    let (server, port) = serve(&sandbox, &shop, &variables);
    assert_eq!(http::get(port, HOST, "/health").unwrap().0, 200);
    let browser = Browser::builder(&sandbox).host(HOST, 80, port).start().unwrap();
    browser.open(&format!("http://{HOST}/")).unwrap();
    browser.wait_for_text("#live", "connected").unwrap();
    browser.wait_for_text("#echo", "hello").unwrap();
    browser.click("#ask").unwrap();
    browser.wait_for_text("#echo", "asked").unwrap();
    assert_eq!(browser.title().unwrap(), "Shop 0.1.0");
    let color = browser.run_js("return getComputedStyle(document.querySelector('h1')).color").unwrap();
    assert_eq!(color, "rgb(0, 100, 0)", "the digested style sheet");

    // From an origin other than PHX_HOST.
    browser.open(&format!("http://127.0.0.1:{port}/")).unwrap();
    browser.wait_for_text("#live", "refused").unwrap();
    server.wait_for("Could not check origin").unwrap();

    drop(postgres);
    assert_eq!(http::get(port, HOST, "/health").unwrap().0, 500);
    server.kill().unwrap();
}

#[test]
fn an_umbrella_is_built_migrated_and_served() {
    let sandbox = sandbox();
    let postgres = Postgres::start(&sandbox).unwrap();
    let releases = "shop: [applications: [shop: :permanent, shop_web: :permanent]]";
    let shop = sandbox.phoenix_app().unwrap().as_umbrella().unwrap().with_releases(releases).unwrap();
    build(&shop);
    let variables = shop.variables(&postgres);
    let output = shop.mix_command(&["do", "ecto.create", "+", "ecto.migrate"]).envs(variables.clone()).output();
    assert!(output.as_ref().unwrap().status.success(), "{output:?}");

    let (server, port) = serve(&sandbox, &shop, &variables);

    assert_eq!(http::get(port, HOST, "/items").unwrap(), (200, String::new()));
    assert_eq!(http::get(port, HOST, "/assets/app.css").unwrap().0, 200);
    server.kill().unwrap();
}

#[test]
fn an_app_without_a_database_redirects_to_https_except_on_this_machine() {
    let sandbox = sandbox();
    let shop = sandbox.phoenix_app().unwrap().without_ecto().unwrap();
    let shop = shop.with_listeners().unwrap().with_force_ssl().unwrap();
    build(&shop);
    let secret = ("SECRET_KEY_BASE", "s".repeat(64));

    let (server, port) = serve(&sandbox, &shop, &[secret]);

    assert_eq!(http::get(port, "127.0.0.1", "/health").unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(http::get(port, HOST, "/health").unwrap().0, 301);
    server.kill().unwrap();
}
