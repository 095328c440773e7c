//! A project straight from the generator: only the file `domains` was written for Gatling.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use gatling_tests::shop::OTHER_HOST;
use gatling_tests::{Browser, HOST, Output, Postgres, Sandbox};

use crate::silence::Silence;
use crate::{assert_refused, assert_says, curl};

/// A server with such an app.
pub(crate) struct Generated {
    sandbox: &'static Sandbox,
    /// The database's server, which ends with it.
    _postgres: Mutex<Postgres>,
    /// The output of the first push, to a server without the app's variables.
    refused: Output,
    /// The output of the deployment.
    deployed: Output,
    /// A connection through nginx that was opened after it.
    pub(crate) silence: Silence,
}

static SERVER: OnceLock<Generated> = OnceLock::new();

/// The server. The tests change nothing after the app is deployed.
pub(crate) fn server() -> &'static Generated {
    SERVER.get_or_init(Generated::deploy)
}

impl Generated {
    fn deploy() -> Self {
        let sandbox = Sandbox::shared().unwrap();
        let postgres = Postgres::shared(sandbox).unwrap();
        let shop = sandbox.phoenix_app().unwrap().with_listeners().unwrap();
        shop.write("domains", &format!("{HOST}\n{OTHER_HOST}\n")).unwrap();
        shop.commit("Where it is served").unwrap();
        sandbox.run(&["load", "shop"]).unwrap().expect_success().unwrap();
        let refused = shop.push().unwrap();
        let url = format!("DATABASE_URL={}", postgres.url("shop"));
        sandbox.run(&["config", "set", "shop", "RELEASE_DISTRIBUTION=none", &url]).unwrap().expect_success().unwrap();
        let deployed = sandbox.run(&["deploy", "shop"]).unwrap().expect_success().unwrap();
        sandbox.wait_for_answer_at("/version", 200, "shop 0.1.0\n").unwrap();
        let silence = Silence::begin(sandbox.nginx_port(), HOST, "/live/websocket");
        Self { sandbox, _postgres: Mutex::new(postgres), refused, deployed, silence }
    }

    fn deploy_dir(&self) -> PathBuf {
        self.sandbox.home().join("deployments/shop")
    }

    fn port(&self) -> u16 {
        let noted = fs::read_to_string(self.deploy_dir().join("current/service.env")).unwrap();
        noted.lines().find_map(|line| line.strip_prefix("GATLING_PORT=")).unwrap().trim_matches('\'').parse().unwrap()
    }
}

#[test]
fn a_missing_variable_is_reported_before_the_first_step_with_the_command_to_set_it() {
    let server = server();
    assert_refused(
        &server.refused,
        &[
            "the app needs the variable DATABASE_URL",
            "For example: ecto://USER:PASS@HOST/DATABASE",
            "gatling config set shop DATABASE_URL=-",
        ],
    );
}

#[test]
fn the_secret_that_the_app_needs_is_generated_once_and_never_shown() {
    let server = server();
    let dotenv = fs::read_to_string(server.deploy_dir().join(".env")).unwrap();
    let line = dotenv.lines().find_map(|line| line.strip_prefix("SECRET_KEY_BASE=")).unwrap();
    let secret = line.trim_matches('\'');
    assert!(secret.len() >= 64, "{dotenv}");
    for output in [&server.refused, &server.deployed] {
        assert!(!output.says(secret));
    }
    assert_says(&server.refused, &["SECRET_KEY_BASE was not set: a new secret was generated"]);
    assert!(!server.deployed.says("a new secret"), "it was generated a second time");
}

#[test]
fn the_ecto_setup_alias_has_run() {
    let server = server();
    assert_eq!(server.sandbox.get("/items").unwrap(), (200, "seed\n".to_owned()));
    assert_says(&server.deployed, &["$ mix ecto.setup", "$ mix assets.deploy"]);
}

#[test]
fn pages_and_web_sockets_work_in_a_browser_on_every_domain() {
    let server = server();
    let port = server.sandbox.nginx_port();
    let browser = Browser::builder(server.sandbox).host(HOST, 80, port).host(OTHER_HOST, 80, port).start().unwrap();

    for host in [HOST, OTHER_HOST] {
        browser.open(&format!("http://{host}/")).unwrap();
        browser.wait_for_text("#live", "connected").unwrap();
        browser.click("#ask").unwrap();
        browser.wait_for_text("#echo", "asked").unwrap();
        assert_eq!(browser.title().unwrap(), "Shop 0.1.0");
        let color = browser.run_js("return getComputedStyle(document.querySelector('h1')).color").unwrap();
        assert_eq!(color, "rgb(0, 100, 0)", "the digested style sheet");
    }
}

#[test]
fn the_app_can_only_be_reached_through_nginx() {
    let server = server();
    let port = server.port();
    assert_eq!(server.sandbox.get_direct(port, "/version").unwrap().0, 200);
    // All of 127.0.0.0/8 is this machine. A server that listens on all addresses would answer there.
    let elsewhere = TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port));
    assert!(elsewhere.is_err(), "the app listens on all addresses");
    assert!(!server.deployed.says("visitors can reach it without nginx"), "{:?}", server.deployed);
}

#[test]
fn only_its_owner_can_read_the_deployed_app() {
    let server = server();
    let release = server.deploy_dir().join("releases/0.1.0");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for file in [server.deploy_dir().join(".env"), release.join(".env")] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        assert!(fs::read_to_string(&file).unwrap().contains("DATABASE_URL="));
    }
    for folder in ["releases", "log", "run"].map(|name| server.deploy_dir().join(name)) {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    assert_eq!(mode(&release), 0o700);
}

#[test]
fn every_command_of_the_release_has_the_apps_environment() {
    let server = server();
    let program = server.deploy_dir().join("current/shop/bin/shop");
    let mut eval = server.sandbox.command(program, Path::new("/"));
    eval.args(["eval", "IO.puts(System.fetch_env!(\"PORT\") <> \" \" <> System.fetch_env!(\"PHX_HOST\"))"]);
    let output = Output::of(&mut eval).unwrap().expect_success().unwrap();
    assert_eq!(output.stdout, format!("{} {HOST}\n", server.port()));
}

#[test]
fn digested_assets_are_compressed_and_cached_by_browsers() {
    let server = server();
    let (_, page) = server.sandbox.get("/").unwrap();
    let script = page.split('"').find(|part| part.starts_with("/assets/app-") && part.contains(".js")).unwrap();

    let (head, plain) = (headers(server.sandbox, script), headers(server.sandbox, "/assets/app.js"));

    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(head.contains("cache-control: public, max-age=31536000, immutable"), "{head}");
    // The app answers this request, and nginx compresses its answer.
    assert!(plain.contains("content-encoding: gzip") && !plain.contains("immutable"), "{plain}");
}

/// The headers of an answer, in lower case.
fn headers(sandbox: &Sandbox, path: &str) -> String {
    let args = ["--header", "Accept-Encoding: gzip", "--output", "/dev/null", "--dump-header", "-"];
    curl(sandbox, HOST, path, &args).to_lowercase()
}

#[test]
fn the_app_gets_the_visitors_address_scheme_and_host() {
    let server = server();
    let headers = curl(server.sandbox, OTHER_HOST, "/headers", &[]);
    for line in [
        &format!("host: {OTHER_HOST}"),
        &format!("x-forwarded-host: {OTHER_HOST}"),
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-real-ip: 127.0.0.1",
    ] {
        assert!(headers.lines().any(|other| other == line), "{line} is not in:\n{headers}");
    }
}
