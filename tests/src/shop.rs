//! A server where shop 0.1.0 serves, which the tests of one program share: building and deploying it takes seconds.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::server::{VERSION, forget_other_releases, restore_repositories};
use crate::{HOST, Output, PhoenixApp, Postgres, Sandbox};

/// The second host name of shop.
pub const OTHER_HOST: &str = "shop.example.com";

/// Its settings. The app is only watched for a second, so that tests are quick.
pub const SETTINGS: &str = "\
[health]
path = \"/health\"
watch = \"1s\"

[nginx]
body_size = \"2MB\"
";

/// A copy of the database after the first deployment.
const PRISTINE: &str = "shop_pristine";

/// A server that tests use one after the other. The first use creates it, and it is removed when the program exits.
pub struct SharedShop {
    has_database: bool,
    server: OnceLock<Mutex<Shop>>,
}

/// The server, while one test uses it.
pub struct Shop {
    /// The folders, nginx and `gatling`.
    pub sandbox: &'static Sandbox,
    /// The repository that tests push from.
    pub app: PhoenixApp<'static>,
    /// Its database, if it has one.
    pub postgres: Option<Postgres>,
    commit: String,
    config: String,
    dotenv: String,
    site: String,
}

/// The process that serves, and its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Serving {
    /// Its id.
    pub pid: String,
    /// The status and the body of nginx's answer at `/version`.
    pub answer: (u16, String),
}

impl SharedShop {
    /// A server, not created yet, of an app with a database.
    pub const fn with_database() -> Self {
        Self { has_database: true, server: OnceLock::new() }
    }

    /// A server, not created yet, of an app without a database.
    pub const fn without_database() -> Self {
        Self { has_database: false, server: OnceLock::new() }
    }

    /// The server in its original state, for this test only.
    ///
    /// # Panics
    /// If shop cannot be deployed, or the original state cannot be restored.
    pub fn lock(&self) -> MutexGuard<'_, Shop> {
        let make = || Mutex::new(Shop::deploy(self.has_database).expect("shop can be deployed"));
        // `restore` also undoes the changes of a failed test.
        let mut shop = self.server.get_or_init(make).lock().unwrap_or_else(PoisonError::into_inner);
        shop.restore().expect("the server can be restored");
        shop
    }
}

impl Shop {
    fn deploy(has_database: bool) -> Result<Self> {
        let sandbox = Sandbox::shared()?;
        let app = sandbox.phoenix_app()?;
        let (app, postgres) = match has_database {
            true => (app, Some(Postgres::shared(sandbox)?)),
            false => (app.without_ecto()?, None),
        };
        app.write("domains", &format!("{HOST}\n{OTHER_HOST}\n"))?;
        app.write("gatling.toml", SETTINGS)?;
        app.commit("What this server needs")?;
        sandbox.run(&["load", "shop"])?.expect_success()?;
        match &postgres {
            Some(postgres) => app.configure(postgres)?,
            None => app.configure_without_database()?,
        }
        app.deploy()?;
        if let Some(postgres) = &postgres {
            postgres.psql("postgres", &format!("create database {PRISTINE} template shop"))?;
        }
        let mut shop = Self {
            sandbox,
            commit: app.head()?,
            config: fs::read_to_string(sandbox.config())?,
            app,
            postgres,
            dotenv: String::new(),
            site: String::new(),
        };
        shop.dotenv = fs::read_to_string(shop.deploy_dir().join(".env"))?;
        shop.site = fs::read_to_string(shop.site())?;
        Ok(shop)
    }

    /// Restores the original state.
    fn restore(&mut self) -> Result<()> {
        restore_repositories(&self.app, &self.commit)?;
        fs::write(self.deploy_dir().join(".env"), &self.dotenv)?;
        fs::write(self.sandbox.config(), &self.config)?;
        if let Some(postgres) = &mut self.postgres {
            postgres.ensure_runs()?;
            let copy = format!("create database shop template {PRISTINE}");
            postgres.psql("postgres", "drop database if exists shop with (force)")?;
            postgres.psql("postgres", &copy)?;
        }
        let serves = self.sandbox.get("/version").is_ok_and(|answer| answer == (200, answer_of(VERSION)));
        let is_current = fs::read_link(self.deploy_dir().join("current"))?.ends_with(VERSION);
        if !serves || !is_current {
            self.script(&["upgrade", VERSION])?;
        }
        forget_other_releases(&self.deploy_dir())?;
        if fs::read_to_string(self.site())? != self.site {
            fs::write(self.site(), &self.site)?;
            self.sandbox.reload_nginx()?;
        }
        self.sandbox.wait_for_answer_at("/version", 200, &answer_of(VERSION))
    }

    /// The database's server.
    ///
    /// # Panics
    /// If the app has none.
    pub fn postgres(&mut self) -> &mut Postgres {
        self.postgres.as_mut().expect("it is a server with a database")
    }

    /// Commits all changes and pushes them to `main`.
    pub fn push(&self) -> Result<Output> {
        self.app.commit("Something else")?;
        self.app.push_refs(&["+main"])
    }

    /// Commits all changes as `version` and pushes them. Fails with the output unless that version serves.
    pub fn deploy_version(&self, version: &str) -> Result<Output> {
        self.app.set_version(version)?;
        let output = self.push()?;
        ensure!(output.says(" is serving at "), "it was not deployed:\n{}", output.lines().join("\n"));
        self.sandbox.wait_for_answer_at("/version", 200, &answer_of(version))?;
        Ok(output)
    }

    /// Runs `gatling` with `args`. Fails if it fails.
    pub fn gatling(&self, args: &[&str]) -> Result<Output> {
        self.sandbox.run(args)?.expect_success().with_context(|| format!("gatling {}", args.join(" ")))
    }

    /// Runs the init script with `args`. Fails if it fails.
    pub fn script(&self, args: &[&str]) -> Result<Output> {
        let mut script = self.sandbox.command(self.sandbox.etc().join("shop"), "/".as_ref());
        Output::of(script.args(args))?.expect_success().with_context(|| format!("the script with {args:?}"))
    }

    /// The build dir: the project's repository on the server.
    pub fn build_dir(&self) -> PathBuf {
        self.sandbox.home().join("shop")
    }

    /// The folder of the deployed app.
    pub fn deploy_dir(&self) -> PathBuf {
        self.sandbox.home().join("deployments/shop")
    }

    /// The site that nginx serves.
    pub fn site(&self) -> PathBuf {
        self.sandbox.nginx_dir().join("sites-available/shop")
    }

    /// The port of the current release on 127.0.0.1.
    pub fn port(&self) -> Result<u16> {
        let settings = fs::read_to_string(self.deploy_dir().join("current/service.env"))?;
        let port = settings.lines().find_map(|line| line.strip_prefix("GATLING_PORT='")?.strip_suffix('\''));
        Ok(port.context("service.env has no port")?.parse()?)
    }

    /// What serves now.
    pub fn serving(&self) -> Result<Serving> {
        let pid = fs::read_to_string(self.deploy_dir().join("run/shop.pid"))?;
        Ok(Serving { pid, answer: self.sandbox.get("/version")? })
    }

    /// The record of the latest run.
    pub fn latest_run(&self) -> Result<Value> {
        self.sandbox.runs("shop")?.pop().context("there was no run")
    }
}

/// The answer of this version of shop at `/version`.
pub fn answer_of(version: &str) -> String {
    format!("shop {version}\n")
}
