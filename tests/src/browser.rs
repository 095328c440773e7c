//! A real browser, as a visitor of an app has it: Chromium without a window, driven over WebDriver.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, bail};
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

use crate::{Certificate, HOST, Sandbox, processes, waiting};

/// What keeps Chromium to itself: no window, no questions, no traffic but the test's own.
const FLAGS: [&str; 13] = [
    "--headless",
    // Chromium refuses to run as root with its sandbox.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    // Else it tries https first wherever a test says http.
    "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    "--no-first-run",
    "--no-proxy-server",
    "--window-size=1000,700",
];

/// What a browser is to know before it starts.
pub struct Builder<'s> {
    sandbox: &'s Sandbox,
    rules: Vec<String>,
    trusted: Vec<String>,
    is_dark: bool,
    is_phone: bool,
}

impl Builder<'_> {
    /// Has pages that can be dark be so.
    #[must_use]
    pub fn dark(mut self) -> Self {
        self.is_dark = true;
        self
    }

    /// Shows pages as on a phone: 375 pixels wide.
    #[must_use]
    pub fn phone(mut self) -> Self {
        self.is_phone = true;
        self
    }

    /// Has `host:port`, as it stands in URLs, lead to `real_port` of 127.0.0.1. The host may be a
    /// pattern: `*.example.com`.
    #[must_use]
    pub fn host(mut self, host: &str, port: u16, real_port: u16) -> Self {
        self.rules.push(format!("MAP {host}:{port} 127.0.0.1:{real_port}"));
        self
    }

    /// Has the browser trust a certificate, as if a known authority had signed it.
    pub fn trust(mut self, certificate: &Certificate) -> Result<Self> {
        self.trusted.push(certificate.key_hash()?);
        Ok(self)
    }

    /// Starts chromedriver, and has it start the browser.
    pub fn start(mut self) -> Result<Browser> {
        let folder = tempfile::Builder::new().prefix("browser-").tempdir_in(self.sandbox.root())?;
        // Of several rules the first that fits counts. No other host is reached, or even looked up.
        self.rules.extend(["EXCLUDE 127.0.0.1", "EXCLUDE localhost", "MAP * ~NOTFOUND"].map(str::to_owned));
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
        flags.push(format!("--user-data-dir={}", folder.path().join("profile").display()));
        flags.push(format!("--host-resolver-rules={}", self.rules.join(", ")));
        flags.push(format!("--ignore-certificate-errors-spki-list={}", self.trusted.join(",")));
        let (driver, port) = start_driver(self.sandbox, folder.path())?;
        let mut browser = Browser { client: None, runtime: runtime()?, driver, folder };
        if self.is_dark {
            flags.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let mut options = json!({ "args": flags });
        if self.is_phone {
            options["mobileEmulation"] = json!({ "deviceMetrics": { "width": 375, "height": 800, "pixelRatio": 2.0 } });
        }
        let capabilities = json!({ "goog:chromeOptions": options, "pageLoadStrategy": "normal" });
        browser.client = Some(browser.runtime.block_on(connect(port, capabilities)).context("starting Chromium")?);
        Ok(browser)
    }
}

/// A browser with one page. Dropping it ends it.
pub struct Browser {
    client: Option<Client>,
    runtime: Runtime,
    driver: Child,
    /// Its profile and its temporary files. All its processes are known by it.
    folder: TempDir,
}

impl Browser {
    /// A browser that finds the sandbox's nginx at `http://www.example.com`.
    pub fn start(sandbox: &Sandbox) -> Result<Self> {
        Self::builder(sandbox).host(HOST, 80, sandbox.nginx_port()).start()
    }

    /// A browser that finds what the builder is told, and whatever listens on 127.0.0.1.
    pub fn builder(sandbox: &Sandbox) -> Builder<'_> {
        Builder { sandbox, rules: Vec::new(), trusted: Vec::new(), is_dark: false, is_phone: false }
    }

    /// Opens `url`, and waits until its page is loaded. Whatever the server answers is a page, and
    /// so is the browser's warning of a certificate; that nothing answers is an error.
    pub fn open(&self, url: &str) -> Result<()> {
        self.runtime.block_on(self.client().goto(url)).with_context(|| format!("opening {url}"))
    }

    /// The URL of the page: after a redirect, where it led.
    pub fn url(&self) -> Result<String> {
        Ok(self.runtime.block_on(self.client().current_url())?.into())
    }

    /// The title of the page.
    pub fn title(&self) -> Result<String> {
        Ok(self.runtime.block_on(self.client().title())?)
    }

    /// The text that a visitor sees in the first element that `css` selects.
    pub fn text(&self, css: &str) -> Result<String> {
        let text = async { self.client().find(Locator::Css(css)).await?.text().await };
        self.runtime.block_on(text).with_context(|| format!("reading the text of {css}"))
    }

    /// Clicks on the first element that `css` selects.
    pub fn click(&self, css: &str) -> Result<()> {
        let click = async { self.client().find(Locator::Css(css)).await?.click().await };
        self.runtime.block_on(click).with_context(|| format!("clicking on {css}"))
    }

    /// Waits until the text of the first element that `css` selects contains `text`.
    pub fn wait_for_text(&self, css: &str, text: &str) -> Result<()> {
        let mut last = None;
        let found = waiting::wait_for(&format!("{css} to contain {text:?}"), || {
            last = self.text(css).ok();
            last.as_ref()?.contains(text).then_some(())
        });
        found.with_context(|| format!("the last text was {last:?}"))
    }

    /// What the body of a JavaScript function returns: `return document.title`, say.
    pub fn run_js(&self, script: &str) -> Result<Value> {
        self.runtime.block_on(self.client().execute(script, Vec::new())).with_context(|| format!("running {script}"))
    }

    /// Writes what a visitor sees to a file, as PNG.
    pub fn screenshot(&self, path: &Path) -> Result<()> {
        let png = self.runtime.block_on(self.client().screenshot())?;
        fs::write(path, png).with_context(|| format!("writing {}", path.display()))
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("a browser that was started has a client until it is dropped")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            _ = self.runtime.block_on(client.close());
        }
        _ = self.driver.kill();
        _ = self.driver.wait();
        // Chromium has ended with its session, unless something went wrong.
        processes::end(self.folder.path());
    }
}

/// Starts chromedriver on a port that it chooses itself.
fn start_driver(sandbox: &Sandbox, folder: &Path) -> Result<(Child, u16)> {
    let log: PathBuf = folder.join("log");
    let mut driver = sandbox
        .command("chromedriver", folder)
        .arg("--port=0")
        // Chromium's files outside of its profile.
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(File::create(&log)?)
        .stderr(Stdio::null())
        .spawn()
        .context("starting chromedriver: `cargo xtask setup` installs it")?;
    let port = waiting::wait_for("chromedriver to start", || {
        let log = fs::read_to_string(&log).unwrap_or_default();
        let ended = driver.try_wait().is_ok_and(|status| status.is_some());
        let port = log.split_once("started successfully on port ").and_then(|(_, rest)| rest.split_once('.'));
        port.map(|(port, _)| port.parse().ok()).or(ended.then_some(None))
    })?;
    match port {
        Some(port) => Ok((driver, port)),
        None => bail!("chromedriver did not start: {}", fs::read_to_string(&log)?),
    }
}

async fn connect(port: u16, capabilities: Value) -> Result<Client> {
    let capabilities: Capabilities = serde_json::from_value(capabilities)?;
    let mut builder = ClientBuilder::new(HttpConnector::new());
    Ok(builder.capabilities(capabilities).connect(&format!("http://127.0.0.1:{port}")).await?)
}

/// What drives the client's futures while a method waits for them.
fn runtime() -> Result<Runtime> {
    // Not of the caller's thread alone: the client works on after the last call, too.
    Ok(runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}
