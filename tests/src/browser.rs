//! A real browser for visiting an app: headless Chromium, controlled over WebDriver.

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

/// Flags that isolate Chromium: no window, no dialogs, only the test's own traffic.
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
    // Otherwise it tries https first, even if a test says http.
    "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    "--no-first-run",
    "--no-proxy-server",
    "--window-size=1000,700",
];

/// The settings of a browser that is not started yet.
pub struct Builder<'s> {
    sandbox: &'s Sandbox,
    rules: Vec<String>,
    trusted: Vec<String>,
    is_dark: bool,
    is_phone: bool,
}

impl Builder<'_> {
    /// Prefers a dark color scheme.
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

    /// Maps `host:port` in URLs to `real_port` on 127.0.0.1. The host may be a pattern: `*.example.com`.
    #[must_use]
    pub fn host(mut self, host: &str, port: u16, real_port: u16) -> Self {
        self.rules.push(format!("MAP {host}:{port} 127.0.0.1:{real_port}"));
        self
    }

    /// Makes the browser trust a certificate, as if a known authority had signed it.
    pub fn trust(mut self, certificate: &Certificate) -> Result<Self> {
        self.trusted.push(certificate.key_hash()?);
        Ok(self)
    }

    /// Starts chromedriver, which starts the browser.
    pub fn start(mut self) -> Result<Browser> {
        let folder = tempfile::Builder::new().prefix("browser-").tempdir_in(self.sandbox.root())?;
        // The first matching rule applies. Other hosts are not even resolved.
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

/// A browser with one page. It is closed when it is dropped.
pub struct Browser {
    client: Option<Client>,
    runtime: Runtime,
    driver: Child,
    /// Its profile and its temporary files. This path also identifies its processes.
    folder: TempDir,
}

impl Browser {
    /// A browser that reaches the sandbox's nginx at `http://www.example.com`.
    pub fn start(sandbox: &Sandbox) -> Result<Self> {
        Self::builder(sandbox).host(HOST, 80, sandbox.nginx_port()).start()
    }

    /// A browser that only reaches the hosts of the builder and 127.0.0.1.
    pub fn builder(sandbox: &Sandbox) -> Builder<'_> {
        Builder { sandbox, rules: Vec::new(), trusted: Vec::new(), is_dark: false, is_phone: false }
    }

    /// Opens `url` and waits until its page is loaded. Any answer of the server counts as a page, and so does the
    /// browser's certificate warning. No answer is an error.
    pub fn open(&self, url: &str) -> Result<()> {
        self.runtime.block_on(self.client().goto(url)).with_context(|| format!("opening {url}"))
    }

    /// The URL of the page, after redirects.
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

    /// Runs the body of a JavaScript function, such as `return document.title`, and returns its result.
    pub fn run_js(&self, script: &str) -> Result<Value> {
        self.runtime.block_on(self.client().execute(script, Vec::new())).with_context(|| format!("running {script}"))
    }

    /// Writes a screenshot to a PNG file.
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
        // Normally Chromium has already ended with its session.
        processes::end(self.folder.path());
    }
}

/// Starts chromedriver on a port that it chooses itself.
fn start_driver(sandbox: &Sandbox, folder: &Path) -> Result<(Child, u16)> {
    let log: PathBuf = folder.join("log");
    let mut driver = sandbox
        .command("chromedriver", folder)
        .arg("--port=0")
        // For Chromium's files outside its profile.
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

/// The runtime of the client's futures.
fn runtime() -> Result<Runtime> {
    // It needs its own thread: the client also works between calls.
    Ok(runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}
